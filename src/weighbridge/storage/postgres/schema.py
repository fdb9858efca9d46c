"""The schema of a PostgreSQL store, described from the server's catalogs in the terms of `storage.schema`.

The same on every version of the server that is supported: names are qualified, and what a newer one keeps besides is left out.
"""

from __future__ import annotations

from typing import Final

from weighbridge.storage.postgres.connection import SCHEMA, Connection
from weighbridge.storage.schema import one_line

_IN = f"= '{SCHEMA}'::regnamespace"
_WHO = "CASE WHEN acl.grantee = 0 THEN 'public' ELSE pg_get_userbyid(acl.grantee) END"
_GRANT = f"{_WHO} || CASE WHEN acl.is_grantable THEN ' with grant option' ELSE '' END"
_GUARDS = f"""
    SELECT 'trigger ' || relname || '.' || tgname, pg_get_triggerdef(held.oid) || ', enabled ' || tgenabled::text
        FROM pg_trigger AS held JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace {_IN} AND NOT tgisinternal
    UNION ALL
    SELECT 'policy ' || tablename || '.' || policyname,
        concat_ws(', ', permissive, cmd, 'to ' || array_to_string(roles, ' '), 'using ' || qual, 'check ' || with_check)
        FROM pg_policies WHERE schemaname = '{SCHEMA}'
    UNION ALL
    SELECT 'rule ' || relname || '.' || rulename, pg_get_ruledef(held.oid)
        FROM pg_rewrite AS held JOIN pg_class ON pg_class.oid = ev_class WHERE relnamespace {_IN}
    UNION ALL
    SELECT 'function ' || proname || '(' || pg_get_function_identity_arguments(held.oid) || ')',
        concat_ws(', ', 'owner ' || pg_get_userbyid(proowner), 'returns ' || pg_get_function_result(held.oid), lanname,
                  'volatile ' || provolatile::text, CASE WHEN prosecdef THEN 'as its owner' END,
                  array_to_string(proconfig, ' '), prosrc)
        FROM pg_proc AS held JOIN pg_language ON pg_language.oid = prolang WHERE pronamespace {_IN}
"""  # noqa: S608 - our own names
_DESCRIBE = f"""
    SELECT 'schema ' || nspname, 'owner ' || pg_get_userbyid(nspowner) FROM pg_namespace WHERE oid {_IN}
    UNION ALL
    SELECT 'grant ' || acl.privilege_type || ' on schema to ' || {_GRANT}, 'granted'
        FROM pg_namespace AS held, aclexplode(nspacl) AS acl WHERE held.oid {_IN} AND acl.grantee <> nspowner
    UNION ALL
    SELECT CASE relkind WHEN 'r' THEN 'table ' ELSE 'relation of kind ' || relkind::text || ' ' END || relname,
        concat_ws(', ', 'owner ' || pg_get_userbyid(relowner), CASE WHEN relrowsecurity THEN 'row-level security' END,
                  CASE WHEN relforcerowsecurity THEN 'forced' END, array_to_string(reloptions, ' '),
                  CASE WHEN relpersistence <> 'p' THEN 'not kept' END, CASE WHEN relispartition THEN 'partition' END)
        FROM pg_class WHERE relnamespace {_IN} AND relkind NOT IN ('i', 'I', 't')
    UNION ALL
    SELECT 'column ' || relname || '.' || attname,
        concat_ws(', ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
                  'collation ' || (SELECT collname FROM pg_collation WHERE pg_collation.oid = attcollation),
                  'default ' || pg_get_expr(adbin, adrelid), 'storage ' || attstorage::text,
                  CASE WHEN attidentity <> '' OR attgenerated <> '' THEN 'generated' END)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace {_IN} AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint ' || relname || '.' || conname,
        pg_get_constraintdef(held.oid) || CASE WHEN convalidated THEN '' ELSE ' !' END
        FROM pg_constraint AS held JOIN pg_class ON pg_class.oid = conrelid
        WHERE relnamespace {_IN} AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 'index ' || relname, pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ', not valid' END
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace {_IN}
    UNION ALL
    {_GUARDS}
    UNION ALL
    SELECT 'grant ' || acl.privilege_type || ' on ' || relname || ' to ' || {_GRANT}, 'granted'
        FROM pg_class, aclexplode(relacl) AS acl WHERE relnamespace {_IN} AND acl.grantee <> relowner
    UNION ALL
    SELECT 'grant ' || acl.privilege_type || ' (' || attname || ') on ' || relname || ' to ' || {_GRANT}, 'granted'
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid, aclexplode(attacl) AS acl
        WHERE relnamespace {_IN} AND acl.grantee <> relowner
    UNION ALL
    SELECT 'grant ' || acl.privilege_type || ' on function ' || proname || ' to ' || {_GRANT}, 'granted'
        FROM pg_proc, aclexplode(proacl) AS acl WHERE pronamespace {_IN} AND acl.grantee <> proowner
"""  # noqa: S608 - our own names
GUARDS: Final = ("trigger ", "policy ", "rule ", "function ")
"""How what `describe_guards` returns begins."""


def describe(connection: Connection) -> dict[str, str]:
    """Return everything in the schema of the store, and how it is defined."""
    return _described(connection, _DESCRIBE)


def describe_guards(connection: Connection) -> dict[str, str]:
    """Return what acts on rows when somebody asks for them or writes them, and how it is defined: in a few milliseconds."""
    return _described(connection, _GUARDS)


def _described(connection: Connection, question: str) -> dict[str, str]:
    with connection.transaction():
        connection.execute(b"SET LOCAL search_path = pg_catalog")  # so that every other name is qualified
        return {what: one_line(how) for what, how in connection.execute(question.encode()).fetchall()}
