"""All that the demo registry serves, built anew at each start from a seed and the current day.

Images and their digests depend on the seed alone. Evidence is dated relative to the day, as if everything had been
scanned last night, so that reports are as old as the catalogue says whenever the demo is started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from backend.demo import catalogue_evidence, images_artifacts
from backend.demo.catalogue import PRODUCTS, Product
from backend.demo.catalogue_evidence import PACKAGES, USUAL, Evidence
from backend.demo.images_build import build_image, chance, created_at
from backend.demo.images_evidence import Signers, Subject, attach
from backend.demo.images_oci import Repository, digest_of, image_index
from backend.demo.images_signing import EdwardsKey, RsaKey, SigningKey

#: What the services run that the demo's cluster starts with. The last one is in no rule and was never approved.
SERVED: Final = (
    ("nim/meta/llama-3.1-8b-instruct", "1.8.3"),
    ("nim/meta/llama-3.3-70b-instruct", "1.10.0"),
    ("nim/mistralai/mistral-7b-instruct-v0.3", "1.8.3"),
    ("nim/nvidia/llama-3.1-nemotron-nano-vl-8b-v1", "1.5.0"),
    ("nim/nvidia/nv-embedqa-e5-v5", "1.6.1"),
    ("nim/nvidia/llama-3.2-nv-rerankqa-1b-v2", "1.8.0"),
    ("nim/qwen/qwen-2.5-7b-instruct", "1.8.4"),
    ("vllm/vllm-openai", "v0.27.1"),
    ("scratch/test-x", "dev-3"),
)
UNAPPROVED: Final = SERVED[-1]

#: Images that pass every gate of the demo's policy.
PASSING: Final = (
    ("nim/meta/llama-3.1-8b-instruct", "1.8.4"),
    ("nim/meta/llama-3.1-8b-instruct", "1.8.3"),
    ("nim/meta/llama-3.3-70b-instruct", "1.10.1"),
    ("nim/meta/llama-3.3-70b-instruct", "1.10.0"),
    ("nim/meta/llama-3.1-70b-instruct", "1.8.2"),
    ("nim/mistralai/mistral-7b-instruct-v0.3", "1.8.3"),
    ("nim/mistralai/mistral-nemo-12b-instruct", "1.8.4"),
    ("nim/nvidia/llama-3.3-nemotron-super-49b-v1", "1.10.1"),
    ("nim/nvidia/llama-3.1-nemotron-nano-8b-v1", "1.8.4"),
    ("nim/qwen/qwen-2.5-7b-instruct", "1.8.4"),
    ("nim/openai/gpt-oss-20b", "2.0.1"),
)

_MOVED: Final = ("nim/meta/llama-3.1-8b-instruct", "1.8")
_ARRIVING: Final = ("nim/nvidia/llama-3.3-nemotron-super-49b-v1", "1.10.2")
_BY_REPOSITORY: Final = {product.repository: product for product in PRODUCTS}


class TagChange(NamedTuple):
    """A tag that is set while the registry runs.

    Attributes:
        after: seconds from the start.
    """

    after: float
    repository: str
    tag: str
    digest: str


@dataclass(frozen=True)
class DemoImages:
    """The registry's content.

    Attributes:
        repositories: by name, in the order of the catalogue.
        changes: tags that move or appear later; what they point at is stored already.
        public_key_pem: the key that true signatures verify with (ECDSA P-256, SubjectPublicKeyInfo).
        foreign_key_pem: the key of the signatures that a policy should refuse.
        further_keys: by name, PEM: a vendor's (RSA) and the release team's (Ed25519).
    """

    repositories: Mapping[str, Repository]
    changes: tuple[TagChange, ...]
    public_key_pem: str
    foreign_key_pem: str
    further_keys: Mapping[str, str]

    def digest(self, repository: str, tag: str) -> str:
        """Give the digest that a tag points at when the registry starts.

        Raises:
            KeyError: there is no such repository or tag.
        """
        return self.repositories[repository].tags[tag]

    def tags(self, repository: str, elapsed: float) -> Mapping[str, str]:
        """Give tag to digest of a repository, `elapsed` seconds after the start.

        Raises:
            KeyError: there is no such repository.
        """
        due = {
            change.tag: change.digest
            for change in self.changes
            if change.repository == repository and elapsed >= change.after
        }
        tags = self.repositories[repository].tags
        return {**tags, **due} if due else tags


def build_images(
    seed: int, now: datetime | None = None, *, move_after: float = 30.0, arrive_after: float = 60.0
) -> DemoImages:
    """Build everything that the demo registry serves; the same seed and day give the same bytes.

    Args:
        now: what evidence is dated by, rounded down to the day in UTC; default: the current time.
        move_after: seconds from the start until one tag moves to another digest.
        arrive_after: seconds from the start until one new tag is there.
    """
    today = (now or datetime.now(UTC)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    maker = _Maker(seed, today)
    for product in PRODUCTS:
        maker.add_product(product)
    for artifact in images_artifacts.ARTIFACTS:
        maker.add_artifact(artifact)
    maker.add_hostile()
    changes = (
        TagChange(move_after, *_MOVED, maker.add_later(*_MOVED, catalogue_evidence.FEW_HIGH)),
        TagChange(arrive_after, *_ARRIVING, maker.add_later(*_ARRIVING, catalogue_evidence.CLEAN)),
    )
    signers = maker.signers
    further = {"vendor": signers.vendor.public_pem, "release": signers.release.public_pem}
    return DemoImages(maker.repositories, changes, signers.trusted.public_pem, signers.foreign.public_pem, further)


class _Maker:
    """Collects the repositories of one build."""

    def __init__(self, seed: int, today: datetime) -> None:
        self.seed = seed
        self.today = today
        self.repositories: dict[str, Repository] = {}
        self.signers = Signers(
            SigningKey(f"modelyard demo {seed}"),
            SigningKey(f"modelyard demo {seed}, foreign"),
            RsaKey(),
            EdwardsKey(f"modelyard demo {seed}, release"),
        )

    def _repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository(name))

    def add_product(self, product: Product, *, hostile: bool = False) -> None:
        repository = self._repository(product.repository)
        tags = product.tags.split()
        for position, tag in enumerate(tags):
            created = created_at(product, position, len(tags), self.seed)
            image = build_image(repository, product, tag, created, self.seed)
            repository.tags[tag] = image.digest
            packages = [each.aged(old=position < len(tags) - 2) for each in PACKAGES[product.build.packages]]
            subject = Subject(repository, image, product.licence, packages, hostile)
            attach(subject, self._evidence_of(product, tag), self.signers, self.today)
        for alias, tag in product.aliases.items():
            repository.tags[alias] = repository.tags[tag]

    def _evidence_of(self, product: Product, tag: str) -> Evidence:
        given = product.evidence.get(tag)
        return given or USUAL[chance(self.seed, product.repository, tag, "evidence") % len(USUAL)]

    def add_artifact(self, artifact: images_artifacts.ModelArtifact) -> None:
        repository = self._repository(artifact.repository)
        tags = artifact.tags.split()
        for position, tag in enumerate(tags):
            created = images_artifacts.created_at(artifact, position, len(tags))
            image = artifact.build(repository, artifact, tag, created)
            repository.tags[tag] = image.digest
            given = artifact.evidence.get(tag, catalogue_evidence.BARE)
            attach(Subject(repository, image, artifact.licence, PACKAGES["vllm"]), given, self.signers, self.today)

    def add_hostile(self) -> None:
        """Add what a client must survive: forged text, tags that cannot be read, a manifest that lies."""
        self.add_product(images_artifacts.HOSTILE, hostile=True)
        repository = self._repository(images_artifacts.HOSTILE.repository)
        image = repository.describe(repository.tags["1.0.0"])
        platform = {"architecture": "amd64", "os": "linux"}
        annotations = images_artifacts.hostile_annotations()
        repository.add_manifest(image_index([image.json(platform=platform)], annotations=annotations), "1.1.0")
        for tag in images_artifacts.UNREADABLE_TAGS:
            repository.tags[tag] = digest_of(tag.encode())
        images_artifacts.add_liar(self._repository(images_artifacts.LIAR))

    def add_later(self, repository_name: str, tag: str, evidence: Evidence) -> str:
        """Build an image that no tag points at yet, with its evidence; gives its digest."""
        product = _BY_REPOSITORY[repository_name]
        repository = self._repository(repository_name)
        created = created_at(product, 1, 1, self.seed)
        image = build_image(repository, product, tag, created, self.seed, mark=" later")
        subject = Subject(repository, image, product.licence, PACKAGES[product.build.packages])
        attach(subject, evidence, self.signers, self.today)
        return image.digest
