"""How much GPU memory a model takes: its weights, and its KV cache for each token. Pure; estimates, called so.

Weights take parameters times bytes a parameter. The KV cache takes, for each token, two tensors (keys and values) for
each layer of `kv_heads * head_dim` numbers (P. Kipply, "Transformer Inference Arithmetic", 2022; vLLM's
`FullAttentionSpec.page_size_bytes`): `2 * layers * kv_heads * head_dim * bytes`. Shapes are those that the makers of
the models publish in `config.json` (`num_hidden_layers`, `num_key_value_heads`, `head_dim`); for a model that is not
listed, the shape of the listed model next in size is assumed, and said to be.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

#: Bytes a parameter; grouped 4-bit formats store a scale (and a zero) for each 32 to 128 weights beside them.
_BYTES: Final = {
    "fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "mxfp8": 1.03, "int8": 1.0, "w8a8": 1.0, "w8a16": 1.0,
    "fp4": 0.56, "nvfp4": 0.56, "mxfp4": 0.53, "int4": 0.56, "awq": 0.56, "gptq": 0.56, "w4a16": 0.56,
}  # fmt: skip
#: What model servers load where nothing else is said.
DEFAULT_PRECISION: Final = "bf16"
_COUNT: Final = re.compile(r"(?:(\d{1,2})x)?(\d{1,6}(?:\.\d{1,3})?)\s*([bmt])\Z", re.IGNORECASE)
_NAMED: Final = re.compile(r"(?:^|[-_./])((?:\d{1,2}x)?\d{1,4}(?:\.\d{1,2})?[bm])(?:$|[-_./:@])", re.IGNORECASE)
_NAMED_PRECISION: Final = re.compile(
    r"(?:^|[-_./])(nvfp4|mxfp4|fp4|mxfp8|fp8|int8|int4|awq|gptq|w4a16|w8a8|w8a16)(?:$|[-_./:@])", re.IGNORECASE
)
_UNITS: Final = {"m": 1e6, "b": 1e9, "t": 1e12}
#: Mixtures of experts share what is not an expert: fewer parameters than their names multiply to.
_MIXTURES: Final = {"8x7b": 46.7e9, "8x22b": 140.6e9}


class Shape(msgspec.Struct, frozen=True):
    """What the KV cache depends on."""

    layers: int
    kv_heads: int
    head_dim: int


# By family and billions of parameters, smallest first.
_SHAPES: Final[dict[str, tuple[tuple[float, Shape], ...]]] = {
    "llama": (
        (1, Shape(16, 8, 64)), (3, Shape(28, 8, 128)), (8, Shape(32, 8, 128)), (70, Shape(80, 8, 128)),
        (405, Shape(126, 8, 128)),
    ),
    "mistral": ((7, Shape(32, 8, 128)), (12, Shape(40, 8, 128)), (24, Shape(40, 8, 128)), (123, Shape(88, 8, 128))),
    "mixtral": ((46.7, Shape(32, 8, 128)), (140.6, Shape(56, 8, 128))),
    "qwen": (
        (0.5, Shape(24, 2, 64)), (1.5, Shape(28, 2, 128)), (3, Shape(36, 2, 128)), (7, Shape(28, 4, 128)),
        (14, Shape(48, 8, 128)), (32, Shape(64, 8, 128)), (72, Shape(80, 8, 128)),
    ),
    "gemma": ((2, Shape(26, 4, 256)), (9, Shape(42, 8, 256)), (27, Shape(46, 16, 128))),
    "gpt-oss": ((20, Shape(24, 8, 64)), (120, Shape(36, 8, 64))),
    "phi": ((3.8, Shape(32, 32, 96)), (14, Shape(40, 10, 128))),
}  # fmt: skip
_FAMILIAR: Final = 0.15


class ModelSize(msgspec.Struct, frozen=True, kw_only=True):
    """A model as far as memory goes.

    Attributes:
        parameters: how many; precision: of the weights, such as `bf16` or `fp8`.
        shape: None for models without a KV cache, such as embeddings.
        source: where parameters and precision come from; assumed: what nothing tells, in words.
    """

    parameters: float
    precision: str
    shape: Shape | None
    source: str
    assumed: tuple[str, ...] = ()

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return int(self.parameters * bytes_per_parameter(self.precision))

    def kv_per_token(self, bytes_each: float = 2.0) -> int:
        """Bytes of the KV cache for one token on all GPUs together; 0 without a cache."""
        if self.shape is None:
            return 0
        return int(2 * self.shape.layers * self.shape.kv_heads * self.shape.head_dim * bytes_each)

    def at(self, precision: str) -> ModelSize:
        """The same model with other weights."""
        return msgspec.structs.replace(self, precision=precision)


def bytes_per_parameter(precision: str) -> float:
    """As stored; what is not known is taken for two bytes."""
    lower = precision.lower()
    if lower.startswith(("q", "iq")):
        bits = re.match(r"i?q(\d)", lower)
        return int(bits.group(1)) / 8 * 1.1 if bits else 2.0
    return _BYTES.get(lower, 2.0)


def parse_parameters(text: str) -> float | None:
    """How many parameters `70b`, `8x7b`, `137M` or `1.5B` stand for; None: it is no such text."""
    lower = text.strip().lower()
    if lower in _MIXTURES:
        return _MIXTURES[lower]
    match = _COUNT.match(lower)
    if match is None:
        return None
    count = float(match.group(2)) * _UNITS[match.group(3)] * int(match.group(1) or 1)
    return count if count > 0 else None


def model_size(
    *, parameters: str = "", precision: str = "", family: str = "", names: tuple[str, ...] = (), caches: bool = True
) -> ModelSize | None:
    """What is known of a model's size; None when nothing tells how many parameters it has.

    Args:
        parameters, precision, family: as the library tells them, or empty.
        names: that may tell what the library does not: of the model in arguments, the weights' address, the repository.
        caches: whether such a model has a KV cache.
    """
    source, count = "the library", parse_parameters(parameters)
    for name in names:
        if count is not None:
            break
        if match := _NAMED.search(name):
            source, count = f"the name {name}", parse_parameters(match.group(1))
    if count is None:
        return None
    assumed: list[str] = []
    if not precision:
        found = next((match for name in names if (match := _NAMED_PRECISION.search(name))), None)
        precision = found.group(1).lower() if found else DEFAULT_PRECISION
        if not found:
            assumed.append(f"weights of {DEFAULT_PRECISION}, which model servers load by default")
    shape = None
    if caches:
        shape, familiar = _shape(_family(family, names), count)
        if not familiar:
            assumed.append("the KV cache of a common model of that size")
    return ModelSize(parameters=count, precision=precision, shape=shape, source=source, assumed=tuple(assumed))


def _family(family: str, names: tuple[str, ...]) -> str:
    for told in (family, *names):
        lower = told.lower()
        for known in sorted(_SHAPES, key=len, reverse=True):
            if known in lower:
                return known
    return ""


def _shape(family: str, parameters: float) -> tuple[Shape, bool]:
    """The shape of the listed model of that size, or of the next larger one; and whether it is one that is listed."""
    billions = parameters / 1e9
    listed = _SHAPES.get(family, ())
    for size, shape in listed:
        if abs(size - billions) <= _FAMILIAR * size:
            return shape, True
    common = _SHAPES["llama"]
    return next((shape for size, shape in common if size >= billions), common[-1][1]), False
