package postgres

import (
	"bytes"
	"strconv"
	"testing"

	"tributary/envelope"
)

// TestStreamGivesTheBytesOfTheSnapshot: a row has the same bytes from both, in the
// types whose values Debezium reads otherwise in the one than in the other.
func TestStreamGivesTheBytesOfTheSnapshot(t *testing.T) {
	for _, release := range []int{15, 18} {
		t.Run(strconv.Itoa(release), func(t *testing.T) {
			db := releaseOf(t, release)
			columns := " (id int PRIMARY KEY, d date, ts timestamp, tz timestamptz, m money, n name, s numeric(5,-2), i int[], t text DEFAULT 'd''é\"', f real, p bigserial, b bit varying(1), mv interval)"
			db.MustExec(t, "CREATE TABLE a"+columns, "CREATE TABLE b"+columns,
				"INSERT INTO a VALUES (1,'0001-01-01','0001-01-01 00:00','0001-01-01 00:00+00','-92233720368547758.08','nm',12345,'{{1,2},{3,NULL}}',DEFAULT,3.4028235e38,1,'1','178000000 years'),"+
					"(2,'4713-01-01 BC','4713-01-01 00:00:01 BC','4713-01-02 00:00+00 BC','92233720368547758.07','','-99900','{{{1}},{{2}}}','',1e-45,2,'','-1 mons'),"+
					"(3,'infinity','infinity','infinity',0,'é','0','{}',NULL,'NaN',3,'0','00:00:00.000001'),(4,'-infinity','-infinity','-infinity',NULL,NULL,NULL,NULL,NULL,'-Infinity',4,NULL,NULL),"+
					"(5,'1582-10-04','1582-10-14 23:59:59.999999','1582-10-15 00:00+00',-0.01,'x',50,'[0:1]={1,2}','y',-0.0,5,'1','1 day')")
			s := liveSource(t, db, nil)
			snapshot, pos := snapshotOf(t, s, nil)
			log := changesFrom(t, db, s, pos, 5, "INSERT INTO b SELECT * FROM a ORDER BY id")
			if len(snapshot) != 5 || len(log) != 5 {
				t.Fatalf("%d rows in the snapshot, %d in the log", len(snapshot), len(log))
			}
			for i := range snapshot {
				if snapshot[i].Op != envelope.Read || log[i].Op != envelope.Create || !bytes.Equal(snapshot[i].After, log[i].After) {
					t.Errorf("row %d:\nsnapshot %x\nlog      %x", i+1, []byte(snapshot[i].After), []byte(log[i].After))
				}
			}
			if c := snapshot[0].Table.Columns[8]; !bytes.Equal(c.Default, envelope.AppendString(nil, `d'é"`)) {
				t.Errorf("default %q", c.Default)
			}
			if typ := snapshot[0].Table.Columns[6].Type; typ.Logical == "decimal" && typ.Scale > 38 {
				t.Errorf("numeric(5,-2) has the scale %d", typ.Scale)
			}
		})
	}
}
