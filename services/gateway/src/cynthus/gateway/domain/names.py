"""Names for runs that were given none: `brave-otter-1`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """Adjectives and animals to combine."""

    adjectives: tuple[str, ...]
    animals: tuple[str, ...]

    def stem(self, number: int) -> str:
        """The pair that belongs to a number, such as `brave-otter`."""
        rest, animal = divmod(number, len(self.animals))
        return f"{self.adjectives[rest % len(self.adjectives)]}-{self.animals[animal]}"


def numbered(stem: str, number: int) -> str:
    """The name with its number."""
    return f"{stem}-{number}"
