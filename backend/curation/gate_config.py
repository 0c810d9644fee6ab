"""The `[[policy.gate]]` tables of the configuration: what each kind of gate asks for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from backend.core.settings import Duration, Settings, Size


class GateScope(Settings):
    """Which images a gate judges: those that match every list that is given. Names may hold `*` and `?`.

    What is not known of an image (its type before it was classified) matches: a gate is not escaped by being unknown.
    """

    registries: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


class _Gate(Settings):
    """What all gates have.

    Attributes:
        effect: `block` stands in the way of an approval, `warn` is shown.
        max_age: how old what the gate looks at may be; older is stale. None: any age.
        applies: which images it judges; None: all.
    """

    effect: Literal["block", "warn"] = "block"
    max_age: Duration | None = None
    applies: GateScope | None = None

    @field_validator("max_age")
    @classmethod
    def _age_is_positive(cls, age: timedelta | None) -> timedelta | None:
        if age is not None and age <= timedelta(0):
            raise ValueError("max_age is above zero")
        return age


class SignatureGate(_Gate):
    """Asks for a signature by one of some keys, or by an identity without a key of its own (keyless).

    Attributes:
        keys: public keys in PEM, relative to the configuration file; one of them has to have signed.
        identity, issuer: of the certificate of a keyless signature: who signed, and who vouched for them.
        trusted_root: Sigstore's `trusted_root.json` that keyless signatures are checked against, offline.
        max_age: how long ago the registry was last asked; a signature itself tells no time.
    """

    kind: Literal["signature"]
    keys: tuple[Path, ...] = ()
    identity: str = ""
    issuer: str = ""
    trusted_root: Path | None = None

    @model_validator(mode="after")
    def _names_a_signer(self) -> SignatureGate:
        keyless = [bool(self.identity), bool(self.issuer), self.trusted_root is not None]
        if any(keyless) and not all(keyless):
            raise ValueError("identity, issuer and trusted_root go together")
        if not self.keys and not any(keyless):
            raise ValueError("a signature gate needs keys, or identity with issuer and trusted_root")
        return self


class VulnerabilityGate(_Gate):
    """Asks for a vulnerability report with few enough findings.

    Attributes:
        max_critical, max_high: findings allowed that are not waived; None: any number.
        max_age: of the report.
        accept_unsigned: a report will do that somebody handed in, or that is attached without a signature that one of
            policy's keys verifies. Otherwise such a report can fail the gate and never pass it.
        accept_scans: a scan will do that somebody ran with the yard's own scanner (`evidence scan`). Whoever ran it
            does not approve the image; name the scanner in the policy file, or anybody's PATH decides which it is.
    """

    kind: Literal["vulnerabilities"]
    max_critical: int | None = Field(default=None, ge=0)
    max_high: int | None = Field(default=None, ge=0)
    accept_unsigned: bool = False
    accept_scans: bool = False


class LicenceGate(_Gate):
    """Asks for licences that are allowed.

    Attributes:
        allow: SPDX identifiers that the image's own declared licence must be of; empty: any that is not denied.
        deny: identifiers that neither the image nor a package of its SBOM may be under.
        packages: `allow` is asked of every package of the SBOM too.
        max_age: of the SBOM.
        accept_unsigned: an SBOM will do that no key of policy verifies.
    """

    kind: Literal["licence"]
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    packages: bool = False
    accept_unsigned: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> LicenceGate:
        if not self.allow and not self.deny:
            raise ValueError("a licence gate needs allow or deny")
        return self


class SbomGate(_Gate):
    """Asks for a bill of materials.

    Attributes:
        min_packages: that it lists at least: one that lists nothing tells nothing.
        max_age: of the SBOM.
        accept_unsigned: one will do that no key of policy verifies.
    """

    kind: Literal["sbom"]
    min_packages: int = Field(default=1, ge=0)
    accept_unsigned: bool = False


class WeightsGate(_Gate):
    """Asks that something fixes the weights.

    Attributes:
        by: which of image, modelpack, storage-uri and nim-profile will do; empty: any.
        max_age: how long ago the image was last looked at.
    """

    kind: Literal["weights"]
    by: tuple[Literal["image", "modelpack", "storage-uri", "nim-profile"], ...] = ()


class BenchmarkGate(_Gate):
    """Asks for a benchmark's result.

    Attributes:
        metric: name of the result, as the benchmark tells it.
        min, max: that the value has to reach, that it must not exceed.
        hardware: that it has to be measured on; names may hold `*` and `?`; empty: any.
        max_age: of the result.
        accept_unsigned: a result will do that somebody handed in.
    """

    kind: Literal["benchmark"]
    metric: str = Field(min_length=1)
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    hardware: tuple[str, ...] = ()
    accept_unsigned: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> BenchmarkGate:
        if self.min is None and self.max is None:
            raise ValueError("a benchmark gate needs min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class ComplianceGate(_Gate):
    """Asks for what the image's manifest and configuration have to say. Names and patterns may hold `*` and `?`.

    Attributes:
        labels, annotations: names and the pattern that their value has to match; `*`: any value.
        base_images: patterns, one of which the base image's name has to match, with or without its digest.
        max_image_age: since the image was made. max_size: compressed, such as "20GB".
        provenance: an attestation of how it was built, verified by a key of policy or made fast by the digest.
        builders: patterns, one of which the builder of that attestation has to match.
        model_card: one has to be there.
        residency_label, residency: a label and the values of it that are allowed.
        non_root: a user other than root has to be set, for every platform.
        ports: those that it may expose, such as "8000" or "8000/tcp"; None: any.
        max_age: how long ago the image was last looked at.
    """

    kind: Literal["compliance"]
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    base_images: tuple[str, ...] = ()
    max_image_age: Duration | None = None
    max_size: Size | None = None
    provenance: bool = False
    builders: tuple[str, ...] = ()
    model_card: bool = False
    residency_label: str = ""
    residency: tuple[str, ...] = ()
    non_root: bool = False
    ports: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> ComplianceGate:
        if bool(self.residency_label) != bool(self.residency):
            raise ValueError("residency_label and residency go together")
        if self.builders and not self.provenance:
            raise ValueError("builders belong to provenance = true")
        asked = self.model_dump(exclude={"kind", "effect", "max_age", "applies"}, exclude_defaults=True)
        if not asked:
            raise ValueError("a compliance gate asks for something: labels, base_images, max_size, non_root, ...")
        return self


class ReviewGate(_Gate):
    """Asks that somebody reviewed the image and said so.

    Attributes:
        people: how many different ones.
        max_age: of each review.
        accept_unsigned: a review is what a person asserts, so a gate that blocks has to say that this will do.
    """

    kind: Literal["review"]
    people: int = Field(default=1, ge=1, le=20)
    accept_unsigned: bool = False

    @model_validator(mode="after")
    def _can_pass(self) -> ReviewGate:
        if self.effect == "block" and not self.accept_unsigned:
            raise ValueError('a review is asserted by a person: say accept_unsigned = true, or effect = "warn"')
        return self


GateConfig: TypeAlias = Annotated[
    SignatureGate
    | VulnerabilityGate
    | LicenceGate
    | SbomGate
    | WeightsGate
    | BenchmarkGate
    | ComplianceGate
    | ReviewGate,
    Field(discriminator="kind"),
]
