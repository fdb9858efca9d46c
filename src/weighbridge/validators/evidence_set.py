"""The evidence set of a request, as validators read it: which references it covers, and which values stand in it.

Trust follows the source that was read, as the policy declares it; a label in the request can only lower it, and third
parties' free text inside a trusted source does not count unless the policy admits that field (R4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from weighbridge.domain.context import EvidenceItem
from weighbridge.domain.evidence import Reference, Trust, parse_reference
from weighbridge.domain.paths import FieldPattern, normalise_name
from weighbridge.policy.effective import EffectivePolicy, GroundedValue, SourcePolicy
from weighbridge.validators.boundaries import stands_in
from weighbridge.validators.values import typed_key


class EvidenceSet:
    """The items of a request, read once; their leaves only where a rule asks for values. Shapeless items count for nothing."""

    __slots__ = ("_by_key", "_items", "_leaves")

    def __init__(self, given: Iterable[EvidenceItem], policy: EffectivePolicy) -> None:
        self._items: list[_Item] = []
        self._by_key: dict[tuple[str, ...], list[_Item]] = {}
        self._leaves: dict[Any, tuple[set[Any], list[str]]] = {}
        grounding = _grounding_sources(policy)
        for item in given:
            reference = parse_reference(item.reference)
            if reference is None:
                continue
            read = _read(item, reference, grounding, policy)
            self._items.append(read)
            namesakes = self._by_key.get(reference.key)
            if namesakes is None:
                self._by_key[reference.key] = [read]
            else:
                namesakes.append(read)

    def judge(self, reference: Reference) -> str | None:
        """Return why ``reference`` does not ground anything, or None where it does (R2, R3)."""
        reason = "UNKNOWN_EVIDENCE"
        for item in self._by_key.get(reference.key, ()):
            if item.reference.fields is None or reference.covered_by(item.reference):
                if item.source is not None:
                    return None
                reason = "UNTRUSTED_EVIDENCE"
        return reason

    def holds(self, value: Any, rule: GroundedValue) -> bool:
        """Return whether ``value`` stands in an item that grounds, as ``rule`` compares (R5)."""
        leaves = self._leaves.get((rule.source_types, rule.normalise, rule.text))
        if leaves is None:
            if type(value) is str and not rule.normalise and self._holds_at_first_sight(value, rule):
                return True
            leaves = self._read_leaves(rule)
        exact, texts = leaves
        wanted = _normalised(value, rule.normalise) if rule.normalise else value
        if typed_key(wanted) in exact:
            return True
        return rule.text and isinstance(wanted, str) and any(stands_in(wanted, text) for text in texts)

    def _holds_at_first_sight(self, text: str, rule: GroundedValue) -> bool:
        """Return whether a record whose every field grounds has ``text`` in one of its own fields; most do."""
        for item in self._items:
            if item.source is not None and (rule.source_types is None or item.source_type in rule.source_types):
                content = item.content
                if type(content) is dict and item.source.grounds_whole and text in content.values():
                    return True
        return False

    def _read_leaves(self, rule: GroundedValue) -> tuple[set[Any], list[str]]:
        found: list[Any] = []
        for item in self._items:
            if item.source is not None and (rule.source_types is None or item.source_type in rule.source_types):
                item.source.collect(item.content, found)
        if rule.normalise:
            found = [_normalised(leaf, rule.normalise) for leaf in found]
        texts = [leaf for leaf in found if isinstance(leaf, str)] if rule.text else []
        leaves = {typed_key(leaf) for leaf in found}, texts
        self._leaves[rule.source_types, rule.normalise, rule.text] = leaves
        return leaves


class _TrustedSource:
    """What of a trusted source's content grounds: everything but third parties' free text (R4)."""

    __slots__ = ("_admitted", "_free", "grounds_whole")

    def __init__(self, source: SourcePolicy) -> None:
        self._free = source.free_text
        self._admitted = source.admitted_text
        self.grounds_whole = not source.free_text

    def collect(self, content: Any, leaves: list[Any]) -> None:
        """Add every leaf of ``content`` that grounds. Null is no value."""
        if self.grounds_whole:
            _collect_all(content, leaves)
            return
        waiting: list[tuple[tuple[str, ...], Any, bool]] = [((), content, self._grounds((), inherited=True))]
        while waiting:
            names, node, grounds = waiting.pop()
            if isinstance(node, dict):
                for name, child in node.items():
                    place = (*names, normalise_name(name))
                    waiting.append((place, child, self._grounds(place, inherited=grounds)))
            elif isinstance(node, (list, tuple)):
                waiting += [(names, child, grounds) for child in node]
            elif grounds and node is not None:
                leaves.append(node)

    def _grounds(self, place: tuple[str, ...], *, inherited: bool) -> bool:
        """Return whether the field at ``place`` grounds; what no pattern names is as its container is."""
        if _any_matches(self._admitted, place):
            return True
        return inherited and not _any_matches(self._free, place)


class _Item(msgspec.Struct, frozen=True):
    """An item of the evidence set that has an allowed shape. ``source`` is set where it grounds."""

    reference: Reference
    source_type: str | None
    source: _TrustedSource | None
    content: Any


def _read(
    item: EvidenceItem, reference: Reference, grounding: Mapping[str | None, _TrustedSource], policy: EffectivePolicy
) -> _Item:
    stated = item.source_type or reference.source_type
    source = None if item.trust is Trust.OBSERVED else grounding.get(stated)
    # R4: a second name for the source that was read can only lower its trust. The system of a locator is a first name only where
    # the policy knows it.
    named = reference.key[0] == "source" or reference.source_type in policy.sources
    if named and reference.source_type not in grounding:
        source = None
    return _Item(reference, stated, source, item.content)


def _grounding_sources(policy: EffectivePolicy) -> Mapping[str | None, _TrustedSource]:
    """Return the source types that ground, each with what of it does."""
    found: dict[str | None, _TrustedSource] | None = policy.memo.get("evidence")
    if found is None:
        found = policy.memo["evidence"] = {
            name: _TrustedSource(source) for name, source in policy.sources.items() if source.trust.grounds
        }
    return found


def _collect_all(content: Any, leaves: list[Any]) -> None:
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, (list, tuple)):
            waiting += node
        elif node is not None:
            leaves.append(node)


def _any_matches(patterns: tuple[FieldPattern, ...], place: tuple[str, ...]) -> bool:
    # `**` speaks of the whole content, once: a narrower pattern below it decides for its own field.
    return any(pattern.matches(place) and (pattern.names or not place) for pattern in patterns)


def _normalised(value: Any, normalise: frozenset[str]) -> Any:
    if not isinstance(value, str):
        return value
    if "case_folded" in normalise:
        value = value.casefold()
    return value.strip() if "trimmed" in normalise else value
