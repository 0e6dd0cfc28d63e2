"""The declared schema is the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ovs.db.schema import DbSchema

from vswitch.ovsdb.vswitch_schema import VSWITCH

REAL = Path("/usr/share/openvswitch/vswitch.ovsschema")


@pytest.mark.system
def test_tables_and_columns_are_those_of_the_installed_schema(require: Any) -> None:
    require("command:ovs-vswitchd")
    ours = DbSchema.from_json(VSWITCH).to_json()
    real = DbSchema.from_json(json.loads(REAL.read_text())).to_json()
    assert "filter" not in real["tables"]["Mirror"]["columns"]
    del ours["tables"]["Mirror"]["columns"]["filter"]  # of later versions
    assert "local_group_id" not in real["tables"]["Flow_Sample_Collector_Set"]["columns"]
    del ours["tables"]["Flow_Sample_Collector_Set"]["columns"]["local_group_id"]
    assert ours["tables"] == real["tables"]


def test_the_schema_parses_and_names_its_version() -> None:
    schema = DbSchema.from_json(VSWITCH)
    assert (schema.name, schema.version.split(".")[:2]) == ("Open_vSwitch", ["8", "3"])
    assert schema.tables["Bridge"].indexes[0][0].name == "name"
