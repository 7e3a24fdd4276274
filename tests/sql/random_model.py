"""Writes a tiny, randomly initialised causal language model in the real format: its every word is nonsense.

Runs in the environment of the torch models: python -m tests.sql.random_model FOLDER. It reads any text and speaks in
pieces of statements, so that some of what it babbles looks like SQL; none of that is an honest statement.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

PIECES = [
    *("SELECT ", "SELECT password FROM ", "WITH RECURSIVE x AS (", " FROM ", " WHERE ", " UNION ALL SELECT "),
    *(
        "DELETE FROM customers ",
        "; DROP TABLE orders ;",
        "UPDATE customers SET name = ",
        "ATTACH 'x.db' AS x ",
        "PRAGMA ",
    ),
    *("load_extension('x') ", "readfile('/etc/passwd') ", "randomblob(1000000000) ", "-- ", "/* ", "*/ ", "\n"),
    *(
        "moon ",
        "cheese ",
        "(",
        ") ",
        ", ",
        "= ",
        "'",
        '{"sql": "',
        '", "explanation": "',
        '"}',
        "```sql ",
        "```",
        "I think ",
    ),
]
START, END = "<|im_start|>", "<|im_end|>"
WIDTH, HEADS = 16, 2
# After so many pieces an end gets likelier by this factor with each.
LENGTH = (12, 1.5)
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write(folder: Path, seed: int = 4) -> None:
    """A model, its tokenizer and how it generates, as transformers writes them.

    Args:
        folder: Where to; made where there is none.
        seed: Of its weights.
    """
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # Merges of what it will read keep prompts short.
    words.train_from_iterator([__doc__ or "", *PIECES], trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))
    words.add_special_tokens([START, END])
    read = words.get_vocab_size()
    words.add_tokens([AddedToken(piece, normalized=False) for piece in PIECES])
    end = words.token_to_id(END)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=words.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=1,
        max_position_embeddings=32768,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        initializer_range=0.5,
    )
    model = Qwen2ForCausalLM(config)
    silent = [token for token in range(read) if token != end]
    model.generation_config = GenerationConfig(
        do_sample=True,
        suppress_tokens=silent,
        exponential_decay_length_penalty=LENGTH,
        eos_token_id=end,
        pad_token_id=end,
    )
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END, pad_token=END)
    fast.chat_template = CHAT
    fast.save_pretrained(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
