import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from cynthus.store.sql import prepare

notes = Table("notes", MetaData(schema="s"), Column("id", Integer, primary_key=True), Column("text", Text))


def test_values_given_later_and_literals_find_their_places() -> None:
    prepared = prepare(
        select(notes.c.text).where(notes.c.id > bindparam("after"), notes.c.text != "x").limit(5)
    )
    assert "$1" in prepared.sql
    assert "s.notes" in prepared.sql
    assert sorted(prepared.arguments(after=7), key=str) == [5, 7, "x"]
    assert prepared.arguments(after=7)[0] == 7


def test_an_upsert_can_be_prepared() -> None:
    clause = insert(notes).values(id=bindparam("id"), text=bindparam("text"))
    prepared = prepare(
        clause.on_conflict_do_update(index_elements=["id"], set_={"text": clause.excluded.text})
    )
    assert "ON CONFLICT (id) DO UPDATE" in prepared.sql
    assert prepared.arguments(id=1, text=None) == [1, None]


def test_a_fixed_null_stays_null() -> None:
    prepared = prepare(insert(notes).values(id=bindparam("id"), text=None))
    assert prepared.arguments(id=1) == [1, None]


def test_a_value_that_was_forgotten_is_named() -> None:
    prepared = prepare(select(notes).where(notes.c.id == bindparam("wanted")))
    with pytest.raises(KeyError, match="wanted"):
        prepared.arguments()
