package lake

import "strings"

// Hudi's records for plans and for what was done, as far as this package writes
// them. Readers resolve by the names of records and fields, so that the order of
// fields and the records left out do not matter to them.

const avroModel = "org.apache.hudi.avro.model"

// avroSchemas writes Avro schemas. A record that was written before is named
// only, as Avro wants it.
type avroSchemas struct{ seen map[string]bool }

// avroDef is a schema in the making: it can depend on what was written before it.
type avroDef func(s *avroSchemas) string

func avroJSON(d avroDef) string { return d(&avroSchemas{seen: map[string]bool{}}) }

func avroPrimitive(name string) avroDef {
	return func(*avroSchemas) string { return `"` + name + `"` }
}

var (
	avroString = avroPrimitive("string")
	avroLong   = avroPrimitive("long")
	avroInt    = avroPrimitive("int")
	avroBool   = avroPrimitive("boolean")
)

func avroArray(of avroDef) avroDef {
	return func(s *avroSchemas) string { return `{"type":"array","items":` + of(s) + `}` }
}

func avroMap(of avroDef) avroDef {
	return func(s *avroSchemas) string { return `{"type":"map","values":` + of(s) + `}` }
}

// avroMember is a field of a record, with its default as JSON, or "".
type avroMember struct {
	name string
	def  avroDef
	dflt string
}

func avroOptional(name string, d avroDef) avroMember {
	return avroMember{name, func(s *avroSchemas) string { return `["null",` + d(s) + `]` }, "null"}
}

func avroRequired(name string, d avroDef) avroMember { return avroMember{name, d, ""} }

// avroVersion is the field with which Hudi numbers the forms of its records.
func avroVersion() avroMember {
	return avroMember{"version", func(*avroSchemas) string { return `["int","null"]` }, "1"}
}

func avroRecord(name string, members ...avroMember) avroDef {
	return func(s *avroSchemas) string {
		full := avroModel + "." + name
		if s.seen[name] {
			return `"` + full + `"`
		}
		s.seen[name] = true
		var b strings.Builder
		b.WriteString(`{"type":"record","name":"` + name + `","namespace":"` + avroModel + `","fields":[`)
		for i, m := range members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"name":"` + m.name + `","type":` + m.def(s))
			if m.dflt != "" {
				b.WriteString(`,"default":` + m.dflt)
			}
			b.WriteByte('}')
		}
		b.WriteString(`]}`)
		return b.String()
	}
}

var instantInfo = avroRecord("HoodieInstantInfo", avroRequired("commitTime", avroString), avroRequired("action", avroString))

var cleanerPlan = avroRecord("HoodieCleanerPlan",
	avroOptional("earliestInstantToRetain", avroRecord("HoodieActionInstant",
		avroRequired("timestamp", avroString), avroRequired("action", avroString), avroRequired("state", avroString))),
	avroMember{"lastCompletedCommitTimestamp", avroString, `""`},
	avroRequired("policy", avroString),
	avroOptional("filesToBeDeletedPerPartition", avroMap(avroArray(avroString))),
	avroVersion(),
	avroOptional("filePathsToBeDeletedPerPartition", avroMap(avroArray(avroRecord("HoodieCleanFileInfo",
		avroOptional("filePath", avroString), avroOptional("isBootstrapBaseFile", avroBool))))),
	avroOptional("partitionsToBeDeleted", avroArray(avroString)),
	avroOptional("extraMetadata", avroMap(avroString)),
)

var cleanPartition = avroRecord("HoodieCleanPartitionMetadata",
	avroRequired("partitionPath", avroString), avroRequired("policy", avroString),
	avroRequired("deletePathPatterns", avroArray(avroString)), avroRequired("successDeleteFiles", avroArray(avroString)),
	avroRequired("failedDeleteFiles", avroArray(avroString)), avroOptional("isPartitionDeleted", avroBool))

var cleanMetadata = avroRecord("HoodieCleanMetadata",
	avroRequired("startCleanTime", avroString), avroRequired("timeTakenInMillis", avroLong),
	avroRequired("totalFilesDeleted", avroInt), avroRequired("earliestCommitToRetain", avroString),
	avroMember{"lastCompletedCommitTimestamp", avroString, `""`},
	avroRequired("partitionMetadata", avroMap(cleanPartition)),
	avroVersion(),
	avroOptional("bootstrapPartitionMetadata", avroMap(cleanPartition)),
	avroOptional("extraMetadata", avroMap(avroString)),
)

var rollbackPlan = avroRecord("HoodieRollbackPlan",
	avroOptional("instantToRollback", instantInfo),
	avroOptional("RollbackRequests", avroArray(avroRecord("HoodieRollbackRequest",
		avroRequired("partitionPath", avroString), avroOptional("fileId", avroString), avroOptional("latestBaseInstant", avroString),
		avroMember{"filesToBeDeleted", avroArray(avroString), "[]"}, avroOptional("logBlocksToBeDeleted", avroMap(avroLong))))),
	avroVersion(),
)

var rollbackMetadata = avroRecord("HoodieRollbackMetadata",
	avroRequired("startRollbackTime", avroString), avroRequired("timeTakenInMillis", avroLong),
	avroRequired("totalFilesDeleted", avroInt), avroRequired("commitsRollback", avroArray(avroString)),
	avroRequired("partitionMetadata", avroMap(avroRecord("HoodieRollbackPartitionMetadata",
		avroRequired("partitionPath", avroString), avroRequired("successDeleteFiles", avroArray(avroString)),
		avroRequired("failedDeleteFiles", avroArray(avroString)),
		avroOptional("rollbackLogFiles", avroMap(avroLong)), avroOptional("logFilesFromFailedCommit", avroMap(avroLong))))),
	avroVersion(),
	avroMember{"instantsRollback", avroArray(instantInfo), "[]"},
)

var savepointMetadata = avroRecord("HoodieSavepointMetadata",
	avroRequired("savepointedBy", avroString), avroRequired("savepointedAt", avroLong), avroRequired("comments", avroString),
	avroRequired("partitionMetadata", avroMap(avroRecord("HoodieSavepointPartitionMetadata",
		avroRequired("partitionPath", avroString), avroRequired("savepointDataFile", avroArray(avroString))))),
	avroVersion(),
)

var restorePlan = avroRecord("HoodieRestorePlan",
	avroRequired("instantsToRollback", avroArray(instantInfo)),
	avroMember{"version", func(*avroSchemas) string { return `["int","null"]` }, "2"},
	avroOptional("savepointToRestoreTimestamp", avroString),
)

var restoreMetadata = avroRecord("HoodieRestoreMetadata",
	avroRequired("startRestoreTime", avroString), avroRequired("timeTakenInMillis", avroLong),
	avroRequired("instantsToRollback", avroArray(avroString)),
	avroRequired("hoodieRestoreMetadata", avroMap(avroArray(rollbackMetadata))),
	avroVersion(),
	avroMember{"restoreInstantInfo", avroArray(instantInfo), "[]"},
)

var requestedReplace = avroRecord("HoodieRequestedReplaceMetadata",
	avroOptional("operationType", avroString),
	avroOptional("clusteringPlan", avroRecord("HoodieClusteringPlan",
		avroOptional("inputGroups", avroArray(avroRecord("HoodieClusteringGroup",
			avroOptional("slices", avroArray(avroRecord("HoodieSliceInfo",
				avroOptional("dataFilePath", avroString), avroOptional("deltaFilePaths", avroArray(avroString)),
				avroOptional("fileId", avroString), avroOptional("partitionPath", avroString),
				avroOptional("bootstrapFilePath", avroString), avroVersion()))),
			avroOptional("metrics", avroMap(avroPrimitive("double"))),
			avroMember{"numOutputFileGroups", func(*avroSchemas) string { return `["int","null"]` }, "1"},
			avroOptional("extraMetadata", avroMap(avroString)), avroVersion()))),
		avroOptional("strategy", avroRecord("HoodieClusteringStrategy",
			avroOptional("strategyClassName", avroString), avroOptional("strategyParams", avroMap(avroString)), avroVersion())),
		avroOptional("extraMetadata", avroMap(avroString)), avroVersion(), avroOptional("preserveHoodieMetadata", avroBool))),
	avroOptional("extraMetadata", avroMap(avroString)), avroVersion(),
)

var writeStat = avroRecord("HoodieWriteStat",
	avroOptional("fileId", avroString), avroOptional("path", avroString), avroOptional("prevCommit", avroString),
	avroOptional("numWrites", avroLong), avroOptional("numDeletes", avroLong), avroOptional("numUpdateWrites", avroLong),
	avroOptional("totalWriteBytes", avroLong), avroOptional("totalWriteErrors", avroLong), avroOptional("partitionPath", avroString),
	avroOptional("totalLogRecords", avroLong), avroOptional("totalLogFiles", avroLong),
	avroOptional("totalUpdatedRecordsCompacted", avroLong), avroOptional("numInserts", avroLong),
	avroOptional("totalLogBlocks", avroLong), avroOptional("totalCorruptLogBlock", avroLong),
	avroOptional("totalRollbackBlocks", avroLong), avroOptional("fileSizeInBytes", avroLong),
)

var commitMetadata = avroRecord("HoodieCommitMetadata",
	avroOptional("partitionToWriteStats", avroMap(avroArray(writeStat))),
	avroOptional("extraMetadata", avroMap(avroString)), avroVersion(), avroOptional("operationType", avroString))

// archivedEntry is one state of one instant in the archived timeline.
var archivedEntry = avroRecord("HoodieArchivedMetaEntry",
	avroOptional("hoodieCommitMetadata", commitMetadata),
	avroOptional("hoodieCleanMetadata", cleanMetadata),
	avroOptional("hoodieRollbackMetadata", rollbackMetadata),
	avroOptional("hoodieSavePointMetadata", savepointMetadata),
	avroOptional("commitTime", avroString), avroOptional("actionType", avroString), avroVersion(),
	avroOptional("hoodieCleanerPlan", cleanerPlan),
	avroOptional("actionState", avroString),
	avroOptional("hoodieReplaceCommitMetadata", avroRecord("HoodieReplaceCommitMetadata",
		avroOptional("partitionToWriteStats", avroMap(avroArray(writeStat))),
		avroOptional("extraMetadata", avroMap(avroString)), avroVersion(), avroOptional("operationType", avroString),
		avroOptional("partitionToReplaceFileIds", avroMap(avroArray(avroString))))),
	avroOptional("hoodieRequestedReplaceMetadata", requestedReplace),
	avroOptional("HoodieInflightReplaceMetadata", commitMetadata),
	avroOptional("stateTransitionTime", avroString),
)
