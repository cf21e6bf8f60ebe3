package capture

// WayOut is what to do where the log that is needed is gone.
const WayOut = "either take a new snapshot of all tables: cdc-source offsets reset -c FILE and start, or snapshot.mode: when_needed, which does it by itself; " +
	"or follow the log from now on and read tables anew meanwhile: cdc-source offsets reset -c FILE, snapshot.mode: no_data, start, then cdc-source signal execute-snapshot -c FILE -t TABLES"

// OtherPosition is what to do about a stored position that is of no use.
const OtherPosition = "see what is stored with cdc-source offsets show -c FILE, put another in its place with cdc-source offsets set, or forget it with cdc-source offsets reset, so that the next start takes a new snapshot; if another connector has stored it, give this one a name of its own"
