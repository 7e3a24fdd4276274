"""Writes tiny, randomly initialised checkpoints of the models that need torch, in the real formats.

Runs in the environment of those models: python -m tests.gpu_models.tiny_torch FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

TEXT = "xin chào các bạn hôm nay chúng ta nói về thời tiết ở Hà Nội và thành phố Hồ Chí Minh trong tuần này"
WIDTH, HEADS = 16, 2
ENDS_AFTER = 9  # tokens, more or less
LANGUAGES = ["en", "zh", "de", "vi", "fr"]
WHISPER_TOKENS = [
    *("<|endoftext|>", "<|startoftranscript|>"),
    *(f"<|{code}|>" for code in LANGUAGES),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
    *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
]
# As Qwen2.5's own, without its tools.
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The file of pyannote/speaker-diarization-3.1.
PIPELINE = """
version: 3.1.0

pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: AgglomerativeClustering
    embedding: pyannote/wespeaker-voxceleb-resnet34-LM
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    segmentation: pyannote/segmentation-3.0
    segmentation_batch_size: 32

params:
  clustering:
    method: centroid
    min_cluster_size: 12
    threshold: 0.7045654963945799
  segmentation:
    min_duration_off: 0.0
"""


def tokenizer(special: list[str], size: int) -> Tokenizer:
    """A byte-level BPE, as Whisper's and Qwen's are, with special tokens after its words."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator([f" {TEXT}"], trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet))
    made.add_special_tokens(special)
    return made


def whisper(folder: Path) -> None:
    """A Whisper as transformers writes it; texts end after a few tokens."""
    words = tokenizer(WHISPER_TOKENS, 320)
    end = words.get_vocab()["<|endoftext|>"]
    torch.manual_seed(5)
    config = WhisperConfig(
        vocab_size=words.get_vocab_size(),
        d_model=WIDTH,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=64,  # a text that does not end, ends there
        init_std=0.5,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        embeddings, places = model.model.decoder.embed_tokens.weight, model.model.decoder.embed_positions.weight
        embeddings *= 2 / embeddings.norm(dim=1, keepdim=True)
        embeddings[[token for word, token in words.get_vocab().items() if not word.startswith("Ġ")]] *= 0.1
        embeddings[end] = 6 * places[ENDS_AFTER]
    model.generation_config.alignment_heads = [[0, 0], [1, 1]]
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|endoftext|>", unk_token="<|endoftext|>")
    fast.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def qwen(folder: Path) -> None:
    """A Qwen2 with a chat template."""
    words = tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], 320)
    torch.manual_seed(6)
    end = words.token_to_id("<|im_end|>")
    config = Qwen2Config(
        vocab_size=words.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=words.token_to_id("<|endoftext|>"),
        initializer_range=0.5,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT
    fast.save_pretrained(folder)


def pyannote(folder: Path) -> None:
    """A pipeline as pyannote/speaker-diarization-3.1 is on the hub: its config.yaml, and the checkpoints it names."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding.wespeaker import WeSpeakerResNet34
    from pyannote.audio.models.segmentation import PyanNet

    torch.manual_seed(8)
    segmentation = PyanNet(lstm={"hidden_size": 16, "num_layers": 1}, linear={"hidden_size": 16, "num_layers": 1})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.setup()
    with torch.no_grad():
        for weights in segmentation.parameters():
            weights *= 3  # what is heard makes a difference
    embedding = WeSpeakerResNet34()
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0, classes=["somebody"]
    )
    for model, name in ((segmentation, "segmentation-3.0"), (embedding, "wespeaker-voxceleb-resnet34-LM")):
        checkpoint = {
            "state_dict": model.state_dict(),
            "hyper_parameters": dict(model.hparams),
            "pytorch-lightning_version": "2.1.1",
        }
        model.on_save_checkpoint(checkpoint)
        checkpoint["pyannote.audio"]["versions"] = {"torch": "2.1.1+cu121", "pyannote.audio": "3.1.1"}
        (folder / name).mkdir(parents=True)
        torch.save(checkpoint, folder / name / "pytorch_model.bin")
    (folder / "config.yaml").write_text(PIPELINE)


def main(folder: Path) -> None:
    """Writes all of them, each in a folder of its model's name."""
    whisper(folder / "phowhisper")
    qwen(folder / "enhancer")
    pyannote(folder / "pyannote")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
