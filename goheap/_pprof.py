"""pprof's profile.proto, built at run time, and heap profiles in it.

Fields and meanings: github.com/google/pprof, proto/profile.proto. The sample types, their
order, the period and the label "bytes" are those of Go's runtime/pprof.
"""
from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .profile import HeapProfile

# message -> (number, name, type, repeated)
_MESSAGES = {
    "ValueType": [(1, "type", "int64", False), (2, "unit", "int64", False)],
    "Label": [(1, "key", "int64", False), (2, "str", "int64", False),
              (3, "num", "int64", False), (4, "num_unit", "int64", False)],
    "Sample": [(1, "location_id", "uint64", True), (2, "value", "int64", True),
               (3, "label", "Label", True)],
    "Mapping": [(1, "id", "uint64", False), (2, "memory_start", "uint64", False),
                (3, "memory_limit", "uint64", False), (4, "file_offset", "uint64", False),
                (5, "filename", "int64", False), (6, "build_id", "int64", False),
                (7, "has_functions", "bool", False)],
    "Line": [(1, "function_id", "uint64", False), (2, "line", "int64", False)],
    "Location": [(1, "id", "uint64", False), (2, "mapping_id", "uint64", False),
                 (3, "address", "uint64", False), (4, "line", "Line", True)],
    "Function": [(1, "id", "uint64", False), (2, "name", "int64", False),
                 (3, "system_name", "int64", False), (4, "filename", "int64", False),
                 (5, "start_line", "int64", False)],
    "Profile": [(1, "sample_type", "ValueType", True), (2, "sample", "Sample", True),
                (3, "mapping", "Mapping", True), (4, "location", "Location", True),
                (5, "function", "Function", True), (6, "string_table", "string", True),
                (7, "drop_frames", "int64", False), (8, "keep_frames", "int64", False),
                (9, "time_nanos", "int64", False), (10, "duration_nanos", "int64", False),
                (11, "period_type", "ValueType", False), (12, "period", "int64", False),
                (13, "comment", "int64", True), (14, "default_sample_type", "int64", False)],
}


@functools.cache
def profile_class() -> Any:
    """The message class perftools.profiles.Profile."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as e:
        raise ImportError("pprof files need the package protobuf: pip install goheap[pprof]"
                          ) from e
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="goheap/profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind, repeated in fields:
            f = message.field.add(
                name=field_name, number=number,
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL)
            if kind in _MESSAGES:
                f.type, f.type_name = field.TYPE_MESSAGE, f".perftools.profiles.{kind}"
            else:
                f.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()  # of our own: the name may be taken elsewhere
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


def encode(profile: HeapProfile) -> bytes:
    """The bytes of a heap profile, not compressed; the same for equal profiles."""
    message = profile_class()()
    strings: dict[str, int] = {"": 0}

    def text(s: str) -> int:
        return strings.setdefault(s, len(strings))

    for kind, unit in (("alloc_objects", "count"), ("alloc_space", "bytes"),
                       ("inuse_objects", "count"), ("inuse_space", "bytes")):
        message.sample_type.add(type=text(kind), unit=text(unit))
    message.period_type.type, message.period_type.unit = text("space"), text("bytes")
    message.period = profile.rate
    message.default_sample_type = text("inuse_space")
    locations: dict[str, int] = {}
    for row in profile.rows:
        name = row.type or "unknown"
        location = locations.get(name)
        if location is None:
            location = locations[name] = len(locations) + 1
            message.function.add(id=location, name=text(name), system_name=text(name))
            message.location.add(id=location).line.add(function_id=location)
        sample = message.sample.add(location_id=[location], value=row[3:])
        sample.label.add(key=text("bytes"), num=row.size, num_unit=text("bytes"))
        if row.label is not None:
            sample.label.add(key=text("label"), str=text(row.label))
    message.string_table.extend(strings)
    data: bytes = message.SerializeToString(deterministic=True)
    return data
