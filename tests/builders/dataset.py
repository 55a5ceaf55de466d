"""A dataset of a few faces in RAF-DB's layout, with OpenFace CSV files, made by code."""

import cv2
import numpy as np

from tag_rewards.detectors.openface.csv import OpenFaceRow, write_openface_csv
from tag_rewards.geometry import average_face

SIZE = 100


class Dataset:
    """A dataset on disk that tests add to and break."""

    def __init__(self, root):
        self.root = root
        self.openface = root / "openface"
        for folder in ("EmoLabel", "Image/aligned", "openface"):
            (root / folder).mkdir(parents=True)
        self.labels = root / "EmoLabel" / "list_patition_label.txt"
        self.labels.touch()

    def image(self, name):
        return self.root / "Image" / "aligned" / f"{name}_aligned.jpg"

    def csv(self, name):
        return self.openface / f"{name}_aligned.csv"

    def add(self, name, label, faces, size=(SIZE, SIZE)):
        """One labelled grey ramp; `faces` None writes no CSV, as OpenFace does without a face."""
        with self.labels.open("a") as labels:
            labels.write(f"{name}.jpg {label}\n")
        width, height = size
        ramp = np.tile(np.linspace(0, 255, width, dtype=np.uint8), (height, 1))
        cv2.imwrite(str(self.image(name)), ramp)
        if faces is not None:
            write_openface_csv(self.csv(name), faces)

    @staticmethod
    def observe(aus=(), confidence=0.983, centre=(50, 45), r=15.0):
        """A face with the given AUs at intensity 3; `r` is its inner-eye distance in pixels."""
        return OpenFaceRow(
            average_face() * r + np.array(centre),
            dict.fromkeys(aus, 3.0),
            dict.fromkeys(aus, True),
            confidence,
        )


def four_faces(root):
    """Two images of each split: a smile, a frown; a calm face, a surprised one."""
    made = Dataset(root)
    made.add("train_00001", 4, [made.observe([6, 12])])
    made.add("train_00002", 6, [made.observe([4, 5, 7, 23])])
    made.add("test_0001", 7, [made.observe()])
    made.add("test_0002", 1, [made.observe([1, 2, 5, 26])])
    return made
