"""What verl's SFT trainer computes the loss on: the assistant's tokens, in verl's own batches."""

from pathlib import Path

import pytest

from tag_rewards.integrations.verl.memory import in_visual_encoder

pytestmark = pytest.mark.stack

BASE = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
END = "<|im_end|>\n"


@pytest.fixture(scope="module")
def config(composed):
    """verl's configuration of the recipe for the tiny model."""
    pytest.importorskip("verl")
    return composed("run_tag_sft.sh", TAG_DEVICE="cpu")


# As the template of Qwen2.5-VL begins: where there is no system message, it adds one.
SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}"
)


@pytest.fixture(scope="module", params=["", SYSTEM], ids=["tiny", "with a system message"])
def model(config, request):
    """Tokenizer and processor as verl loads them."""
    from verl.utils.config import omega_conf_to_dataclass

    model = omega_conf_to_dataclass(config.model)
    for part in (model.tokenizer, model.processor):
        part.chat_template = request.param + part.chat_template
    return model


def batch_of(path, config, model, size):
    """A batch as `SFTTrainer` makes it: dataset, collator and loader are verl's."""
    from torch.utils.data import DataLoader
    from verl.trainer.sft_trainer import create_sft_dataset
    from verl.utils.dataset.dataset_utils import SFTTensorCollator

    dataset = create_sft_dataset(str(path), config.data, model.tokenizer, model.processor)
    collate = SFTTensorCollator(config.data.pad_mode)
    return next(iter(DataLoader(dataset, batch_size=size, collate_fn=collate)))


@pytest.fixture(scope="module")
def conversations(sft_parquet, tmp_path_factory):
    """A file of traces and one of two turns, and the messages of its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(sft_parquet / "sft_train.parquet").to_pylist()[:3]
    more = [
        {"role": "user", "content": "Are you sure?"},
        {"role": "assistant", "content": "Yes: AU12 is seen."},
    ]
    rows.append({"messages": rows[0]["messages"] + more, "images": rows[0]["images"]})
    path = tmp_path_factory.mktemp("conversations") / "sft.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path, [row["messages"] for row in rows]


def assistants(messages):
    """What is to be learned: the assistant's messages, each with the template's end."""
    return "".join(m["content"] + END for m in messages if m["role"] == "assistant")


def test_the_loss_is_on_the_assistants_tokens_alone(config, model, conversations):
    path, expected = conversations
    batch = batch_of(path, config, model, len(expected))
    decode = model.tokenizer.decode
    for tokens, mask, messages in zip(
        batch["input_ids"].unbind(), batch["loss_mask"].unbind(), expected, strict=True
    ):
        assert decode(tokens[mask == 1]) == assistants(messages)
        rest = decode(tokens[mask == 0])
        assert rest.count("<|im_start|>assistant\n") == assistants(messages).count(END)
        assert messages[0]["content"].removeprefix("<image>") in rest
        assert rest.count("<|image_pad|>") > 1
        assert "<answer>" not in rest


def test_verls_loss_counts_the_predictions_of_those_tokens(config, model, conversations):
    """The mask reaches the loss one position earlier, where a token is predicted."""
    import torch
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.losses import sft_loss

    path, expected = conversations
    batch = batch_of(path, config, model, len(expected))
    log_probs = torch.nested.as_nested_tensor(
        [torch.zeros(len(ids)) for ids in batch["input_ids"].unbind()], layout=torch.jagged
    ).requires_grad_()
    data = tu.get_tensordict(
        tensor_dict=batch,
        non_tensor_dict={"pad_mode": config.data.pad_mode, "dp_size": 1, "batch_num_tokens": 1},
    )
    loss, _ = sft_loss(None, {"log_probs": log_probs}, data)
    loss.backward()
    gradient = log_probs.grad.values()
    tokens = batch["input_ids"].values()
    learned = torch.roll(tokens, -1)[gradient != 0]
    assert (gradient[gradient != 0] == -1).all()
    assert model.tokenizer.decode(learned) == "".join(map(assistants, expected))


# The architecture of Qwen2.5-VL-7B-Instruct, from its config.json.
TEXT_7B = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
VISION_7B = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "window_size": 112,
}


@pytest.fixture(scope="module")
def qwen_7b():
    """Qwen2.5-VL-7B in full size, without its weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen2_5_VLConfig(
        text_config=TEXT_7B, vision_config=VISION_7B, tie_word_embeddings=False
    )
    with torch.device("meta"):
        return transformers.Qwen2_5_VLForConditionalGeneration(config)


def test_of_qwen_7b_the_encoder_is_frozen_and_nothing_else(qwen_7b):
    """Told by the modules themselves and not by names: the encoder is `visual` less its merger."""
    from tag_rewards.integrations.verl.frozen_vision import freeze_visual_encoder

    visual = qwen_7b.model.visual
    projector = set(visual.merger.parameters())
    encoder = set(visual.parameters()) - projector
    assert freeze_visual_encoder(qwen_7b) == len(encoder)
    frozen = {p for p in qwen_7b.parameters() if not p.requires_grad}
    assert frozen == encoder
    trained = {p for p in qwen_7b.parameters() if p.requires_grad}
    assert trained == projector | set(qwen_7b.model.language_model.parameters()) | set(
        qwen_7b.lm_head.parameters()
    )
    # The size of the published model, so that it is this architecture that was looked at.
    assert sum(p.numel() for p in qwen_7b.parameters()) == 8_292_166_656


def test_names_of_the_tiny_model_are_those_of_qwen_7b(qwen_7b):
    """What is frozen in runs of the tiny model is what is frozen in those of the large one."""
    transformers = pytest.importorskip("transformers")

    def parts(model):
        blocks = {name.replace(".0.", ".N.") for name, _ in model.named_parameters()}
        return {name for name in blocks if not any(c.isdigit() for c in name.split(".mlp.")[0])}

    tiny = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(BASE)
    visual = {name for name in parts(tiny) if ".visual." in name}
    assert visual == {name for name in parts(qwen_7b) if ".visual." in name}
    assert {name for name in visual if not in_visual_encoder(name)} == {
        name for name in visual if ".merger." in name
    }


@pytest.mark.parametrize(("flash", "nnodes"), [("0", 1), ("1", 1), ("1", 2)])
def test_the_gpu_configuration_is_valid(composed, tmp_path, monkeypatch, flash, nnodes):
    """The recipe's settings for GPUs, through what verl's trainer does with them before it trains.

    The model is Qwen2.5-VL-7B's configuration with the tiny model's tokenizer and processor.
    """
    import shutil

    pytest.importorskip("verl")
    transformers = pytest.importorskip("transformers")
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.engine import EngineRegistry
    from verl.workers.engine_workers import TrainingWorkerConfig

    folder = tmp_path / "qwen"
    shutil.copytree(BASE, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    transformers.Qwen2_5_VLConfig(
        text_config=TEXT_7B,
        vision_config=VISION_7B,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
    ).save_pretrained(folder)
    settings = {"NGPUS": 8, "NNODES": nnodes, "FLASH_ATTENTION": flash, "MODEL": folder}
    config = composed("run_tag_sft.sh", TAG_DEVICE="gpu", **settings)
    worker = TrainingWorkerConfig(
        model_type="language_model",
        model_config=omega_conf_to_dataclass(config.model),
        engine_config=omega_conf_to_dataclass(config.engine),
        optimizer_config=omega_conf_to_dataclass(config.optim),
        checkpoint_config=omega_conf_to_dataclass(config.checkpoint),
        profiler_config=omega_conf_to_dataclass(config.profiler),
    )
    assert worker.engine_config.strategy == "fsdp2"
    assert worker.model_config.hf_config.text_config.hidden_size == 3584
    assert worker.model_config.enable_gradient_checkpointing
    assert worker.model_config.use_remove_padding is (flash == "1")
    assert (worker.optimizer_config.lr, worker.optimizer_config.weight_decay) == (2e-5, 0.1)
    assert config.data.train_batch_size % (8 * nnodes) == 0
    assert config.data.max_token_len_per_gpu >= config.data.max_length
    # The engine that freezes is the one that verl takes.
    monkeypatch.setenv("VERL_ENGINE_DEVICE", "cuda")
    monkeypatch.setenv("VERL_ENGINE_VENDOR", "frozen_vision")
    engine = EngineRegistry.get_engine_cls("language_model", worker.engine_config.strategy)
    assert engine.__name__ == "FrozenVisionEngine"
