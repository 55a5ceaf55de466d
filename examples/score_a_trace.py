"""Score a completion of a vision-language model against what an AU detector saw."""

from tag_rewards import AUEvidence, BoxSpace, Target, score

target = Target(
    label="sadness",
    evidence=(
        AUEvidence(au=14, probability=0.78, box=(80, 323, 416, 407)),
        AUEvidence(au=4, probability=0.46, box=(235, 119, 345, 188)),
    ),
    box_space=BoxSpace.pixels(512, 512),
)
completion = """Global analysis: The face appears aged with a downward gaze.
Verification loop:
Inspect mouth corners (AU14) → tightened corners → <bbox>[90,330,410,400]</bbox>
Inspect inner brow (AU4) → subtle tension → <bbox>[225,119,335,188]</bbox>
Final conclusion: Combined AU14 + AU4 indicate a dominant emotion of sadness.
<answer> sadness </answer>"""

for key, value in score(completion, target).items():
    print(f"{key:13} {value:.3f}")
