"""Whether a changed JSON Schema still reads what was written under the old one."""

from collections.abc import Iterator
from typing import Any, Final

Schema = dict[str, Any]

# Limits that may only widen, with the side that is wider.
LOWER_LIMITS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER_LIMITS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
# What a value must equal as a whole; dropping the condition widens, anything else is taken as narrower.
CONDITIONS: Final = ("pattern", "format", "contentEncoding", "multipleOf")


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Each way in which `new` refuses a message that `old` allowed, or drops one of its fields.

    Understands the keywords that msgspec writes. Empty means backward compatible.
    """
    return list(dict.fromkeys(_Comparison(old, new).differences(old, new, "$")))


class _Comparison:
    """Walks two schemas side by side; references are looked up in each one's own `$defs`."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old_definitions = old.get("$defs", {})
        self._new_definitions = new.get("$defs", {})
        self._under_way: set[tuple[str, str]] = set()

    def differences(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        references = (old.get("$ref", ""), new.get("$ref", ""))
        if all(references):
            if references in self._under_way:  # a struct within itself
                return
            self._under_way.add(references)
        yield from self._of_resolved(
            _resolve(old, self._old_definitions), _resolve(new, self._new_definitions), path
        )
        self._under_way.discard(references)

    def _of_resolved(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        if "anyOf" in old or "anyOf" in new:
            yield from self._alternatives(old, new, path)
            return
        yield from _values(old, new, path)
        if "enum" in new:
            return
        yield from _types(old, new, path)
        yield from _limits(old, new, path)
        yield from self._fields(old, new, path)
        yield from self._entries(old, new, path)

    def _alternatives(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        """Each old alternative must be readable as one of the new; the nearest tells why it is not."""
        for former in old.get("anyOf", [old]):
            tried = [list(self.differences(former, each, path)) for each in new.get("anyOf", [new])]
            yield from min(tried, key=lambda found: (len(found), "type" in "".join(found)))

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        fields: Schema = new.get("properties", {})
        for name, former in old.get("properties", {}).items():
            if name in fields:
                yield from self.differences(former, fields[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} was removed"
        for name in new.get("required", []):
            if name not in old.get("required", []):
                yield f"{path}.{name} became required"
        if "additionalProperties" in new and new["additionalProperties"] is not True:
            yield from self._open_ended(old, new, "additionalProperties", f"{path}.*")

    def _entries(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        places: list[Schema] = new.get("prefixItems", [])
        for index, former in enumerate(old.get("prefixItems", [])):
            if index < len(places):
                yield from self.differences(former, places[index], f"{path}[{index}]")
            else:
                yield f"{path}[{index}] was removed"
        if "items" in new:
            yield from self._open_ended(old, new, "items", f"{path}[]")

    def _open_ended(self, old: Schema, new: Schema, keyword: str, path: str) -> Iterator[str]:
        former, present = old.get(keyword, {}), new[keyword]
        if former is False:
            return
        if present is False:
            yield f"{path} is no longer allowed"
            return
        yield from self.differences({} if former is True else former, present, path)


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref")
    return definitions[reference.rsplit("/", 1)[-1]] if reference else schema


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    """Listed values: none may be gone, and a free value may not become a listed one."""
    allowed = _enum_values(new)
    if allowed is None:
        return
    former = _enum_values(old)
    if former is None:
        yield f"{path} was free and is now one of {allowed}"
        return
    for value in former:
        if value not in allowed:
            yield f"{path} no longer allows {value!r}"


def _enum_values(schema: Schema) -> list[object] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _types(old: Schema, new: Schema, path: str) -> Iterator[str]:
    wanted = new.get("type")
    found = (
        {old.get("type")} if "type" in old else {_json_type(value) for value in _enum_values(old) or [None]}
    )
    if wanted is None:
        return
    if wanted == "number":
        found.discard("integer")
    for other in sorted(str(each) for each in found - {wanted}):
        yield f"{path} changed its type from {other} to {wanted}"


def _json_type(value: object) -> str | None:
    return {str: "string", int: "integer", float: "number", bool: "boolean"}.get(type(value))


def _limits(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keyword in LOWER_LIMITS:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{path} has a higher {keyword}, {new[keyword]}"
    for keyword in UPPER_LIMITS:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{path} has a lower {keyword}, {new[keyword]}"
    for keyword in CONDITIONS:
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{path} has another {keyword}, {new[keyword]}"
