// Package workload changes real databases at random while capture, broker,
// registry and the database itself are killed and come back, and then holds
// what is in Kafka, folded by key, against what is in the database. Of SQL Server
// there is only a model: its connections are cut, its agent pauses, and tables get
// further capture instances, as whoever administrates one has to make them.
//
// Rows and tables change together: several connections insert, update and
// delete in transactions large and small, roll back, and use savepoints, while
// columns are added, dropped, renamed and retyped, and tables renamed, truncated
// and created. Nothing is expected of a statement: many fail, because the table
// has just changed or the server is gone. What counts is what is in the database
// at the end.
//
// WORKLOAD=10m says how long each database is changed, WORKLOAD_SEED=N makes the
// same choices again (not the same interleaving).
package workload
