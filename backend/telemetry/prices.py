"""What GPUs cost by the price table. Pure; every sum of it is an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from backend.core.views import GpuSnapshotView, GpuView
from backend.telemetry.config import PriceConfig

_SLICES: Final = 7


def share_of(mig_profile: str) -> float:
    """The share of a GPU that an instance of a profile such as `1g.10gb` is; 1 for a whole GPU."""
    slices = mig_profile.partition("g")[0]
    return min(int(slices), _SLICES) / _SLICES if slices.isdecimal() and len(slices) < 3 else 1.0


def price_of(prices: Sequence[PriceConfig], product: str, mig_profile: str = "") -> float | None:
    """What an hour of a GPU or of a MIG instance costs; None: no table names it."""
    name, whole = _alike(product), _alike(f"{product} {mig_profile}".strip())
    for price in prices:
        pattern = _alike(price.gpu)
        if fnmatchcase(name, pattern):
            return price.per_hour * share_of(mig_profile)
        if mig_profile and fnmatchcase(whole, pattern):
            return price.per_hour
    return None


def _alike(name: str) -> str:
    """Labels of nodes write a hyphen where the driver has a blank."""
    return name.lower().replace("-", " ")


def price_of_type(prices: Sequence[PriceConfig], type_name: str) -> float | None:
    """The same for a GPU type, which is a product and, of a MIG instance, its profile."""
    product, _, last = type_name.rpartition(" ")
    return price_of(prices, product, last) if is_profile(last) and product else price_of(prices, type_name)


def share_of_type(type_name: str) -> float:
    """The share of a GPU that one of this type is."""
    last = type_name.rpartition(" ")[2]
    return share_of(last) if is_profile(last) else 1.0


def is_profile(text: str) -> bool:
    """Whether a text is a MIG profile such as `1g.10gb` or `3g.40gb+me`."""
    slices, dot, memory = text.partition("g.")
    return bool(dot) and slices.isdecimal() and "gb" in memory


def idle_cost(prices: Sequence[PriceConfig], gpu: GpuView) -> float | None:
    """What a GPU cost since it does nothing; None: it is not idle, or has no price."""
    if gpu.wasted_hours is None:
        return None
    price = price_of(prices, gpu.product, gpu.mig_profile)
    # The wasted hours of an instance are its share of the GPU's already.
    return None if price is None else gpu.wasted_hours * price / share_of(gpu.mig_profile)


def with_costs(prices: Sequence[PriceConfig], currency: str, snapshot: GpuSnapshotView) -> GpuSnapshotView:
    """The snapshot, with what its GPUs cost an hour, and what those that are idle cost so far."""
    if not prices:
        return snapshot
    known: dict[tuple[str, str], float | None] = {}

    def priced(gpu: GpuView) -> GpuView:
        of = (gpu.product, gpu.mig_profile)
        price = known[of] if of in known else known.setdefault(of, price_of(prices, *of))
        if price is None:
            return gpu
        cost = idle_cost(prices, gpu)
        return msgspec.structs.replace(gpu, price=price, currency=currency, idle_cost=cost)

    return msgspec.structs.replace(snapshot, gpus=tuple(priced(gpu) for gpu in snapshot.gpus))
