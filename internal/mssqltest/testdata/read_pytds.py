"""Reads a query from the server with pytds or pymssql: a line of JSON a row, each
value as a text. Usage: read_pytds.py pytds|pymssql HOST PORT USER PASSWORD DATABASE QUERY"""
import datetime
import decimal
import json
import sys
import uuid


def connect(kind, host, port, user, password, database):
    if kind == "pytds":
        import pytds
        return pytds.connect(dsn=host, port=int(port), user=user, password=password, database=database, autocommit=True)
    import pymssql
    return pymssql.connect(server=host, port=port, user=user, password=password, database=database, autocommit=True)


def text(v):
    if v is None:
        return "NULL"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (bytes, bytearray)):
        return v.hex()
    if isinstance(v, (datetime.datetime, datetime.date, datetime.time)):
        return v.isoformat()
    if isinstance(v, uuid.UUID):
        return str(v).upper()
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    return str(v)


kind, host, port, user, password, database, query = sys.argv[1:8]
connection = connect(kind, host, port, user, password, database)
cursor = connection.cursor()
cursor.execute(query)
for row in cursor.fetchall():
    print(json.dumps([text(v) for v in row], ensure_ascii=True))
