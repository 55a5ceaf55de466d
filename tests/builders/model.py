"""A model's folder with no more in it than what says what it makes of an image."""

import json

RELEASED_QWEN2_5 = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": 14,
    "merge_size": 2,
    "min_pixels": 3136,
    "max_pixels": 12845056,
}
RELEASED_QWEN3 = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "patch_size": 16,
    "merge_size": 2,
    "size": {"longest_edge": 16777216, "shortest_edge": 65536},
}


def write_model(folder, family, processor=None, nested=None):
    """Write config.json, and the processor's settings as a file of their own, nested, or both."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    if nested is not None:
        (folder / "processor_config.json").write_text(json.dumps(nested))
    return folder
