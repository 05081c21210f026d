"""Turns a USGS GeoJSON feed (stdin) into NDJSON (stdout): one event a line, oldest first. The feed itself is newest first."""

import json
import sys
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(millis: int) -> str:
    return (EPOCH + timedelta(milliseconds=millis)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(feature: dict) -> dict:
    facts = feature["properties"]
    lon, lat, depth = feature["geometry"]["coordinates"]
    return {
        "id": feature["id"],
        "time": rfc3339(facts["time"]),
        "mag": facts["mag"],
        "place": facts["place"],
        "lon": lon,
        "lat": lat,
        "depth": depth,
        "net": facts["net"],
        "type": facts["type"],
    }


for feature in reversed(json.load(sys.stdin)["features"]):
    print(json.dumps(event(feature), ensure_ascii=False, separators=(",", ":")))
