package lake

import (
	"fmt"
	"hash/crc32"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"tributary/internal/fault"
)

// The keys of hoodie.properties that this package reads or writes.
const (
	propName           = "hoodie.table.name"
	propDatabase       = "hoodie.database.name"
	propType           = "hoodie.table.type"
	propVersion        = "hoodie.table.version"
	propLayout         = "hoodie.timeline.layout.version"
	propChecksum       = "hoodie.table.checksum"
	propPartitions     = "hoodie.table.partition.fields"
	propKeys           = "hoodie.table.recordkey.fields"
	propPrecombine     = "hoodie.table.precombine.field"
	propOrdering       = "hoodie.table.ordering.fields" // Hudi 1.1 and later
	propKeygen         = "hoodie.table.keygenerator.class"
	propKeygenType     = "hoodie.table.keygenerator.type" // Hudi 1.x
	propHive           = "hoodie.datasource.write.hive_style_partitioning"
	propURLEncode      = "hoodie.datasource.write.partitionpath.urlencode"
	propDropPartitions = "hoodie.datasource.write.drop.partition.columns"
	propMetaFields     = "hoodie.populate.meta.fields"
	propTimezone       = "hoodie.table.timeline.timezone"
	propSchema         = "hoodie.table.create.schema"
	propMetadata       = "hoodie.table.metadata.partitions"
	propArchive        = "hoodie.archivelog.folder"
	propBaseFormat     = "hoodie.table.base.file.format"
	propCDC            = "hoodie.table.cdc.enabled"
	propPayload        = "hoodie.compaction.payload.class"
	propMergeMode      = "hoodie.record.merge.mode"        // Hudi 1.x
	propMergeStrategy  = "hoodie.record.merge.strategy.id" // Hudi 1.x
	propMetafileFormat = "hoodie.partition.metafile.use.base.format"
	// The database of a table of ours. Hudi's own key for it would tie the table to
	// a catalog's database of that name: Spark SQL refuses it in any other.
	propOwnDatabase = "tributary.database.name"
)

// properties is the content of a Java properties file.
type properties map[string]string

// parseProperties reads Java's properties text: ISO 8859-1 with \uXXXX escapes,
// comments, continued lines, and escaped separators. It never fails: whatever
// is there is a key.
func parseProperties(text []byte) properties {
	p := properties{}
	for _, line := range logicalLines(text) {
		key, value := splitProperty(line)
		if key != "" {
			p[key] = value
		}
	}
	return p
}

// logicalLines joins continued lines and drops comments and blank lines.
func logicalLines(text []byte) []string {
	var out []string
	var open strings.Builder
	continued := false
	for line := range strings.FieldsFuncSeq(latin1(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimLeft(line, " \t\f")
		if !continued && (line == "" || line[0] == '#' || line[0] == '!') {
			continue
		}
		slashes := len(line) - len(strings.TrimRight(line, `\`))
		continued = slashes%2 == 1
		if continued {
			open.WriteString(line[:len(line)-1])
			continue
		}
		open.WriteString(line)
		out = append(out, open.String())
		open.Reset()
	}
	if open.Len() > 0 {
		out = append(out, open.String())
	}
	return out
}

func latin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// splitProperty splits at the first separator that is not escaped.
func splitProperty(line string) (key, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	return unescape(line[:end]), unescape(rest)
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var units []uint16
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		if r != '\\' || i+1 == len(runes) {
			units = utf16.AppendRune(units, r)
			continue
		}
		i++
		switch r = runes[i]; r {
		case 'n':
			r = '\n'
		case 't':
			r = '\t'
		case 'r':
			r = '\r'
		case 'f':
			r = '\f'
		case 'u':
			if i+4 < len(runes) {
				if v, err := strconv.ParseUint(string(runes[i+1:i+5]), 16, 16); err == nil {
					units = append(units, uint16(v))
					i += 4
					continue
				}
			}
		}
		units = utf16.AppendRune(units, r)
	}
	return string(utf16.Decode(units))
}

// format writes the properties as Java would, under a comment with the time.
func (p properties) format(now time.Time) []byte {
	var b strings.Builder
	now = now.UTC()
	fmt.Fprintf(&b, "#Properties saved on %s\n#%s\n", now.Format(time.RFC3339Nano), now.Format("Mon Jan 02 15:04:05 UTC 2006"))
	keys := make([]string, 0, len(p))
	for k := range p {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		b.WriteString(escape(k, true))
		b.WriteByte('=')
		b.WriteString(escape(p[k], false))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

func escape(s string, key bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == ' ' && (key || i == 0):
			b.WriteString(`\ `)
		case strings.ContainsRune(`=:#!\`, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < ' ' || r > '~':
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04X`, u)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// tableChecksum is Hudi's check that a properties file belongs to its table.
func tableChecksum(database, table string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(database+"."+table))), 10)
}

// list splits a comma-separated value.
func (p properties) list(key string) []string {
	var out []string
	for s := range strings.SplitSeq(p[key], ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (p properties) is(key string, byDefault bool) bool {
	v, ok := p[key]
	if !ok || v == "" {
		return byDefault
	}
	return strings.EqualFold(v, "true")
}

// check reports a table that this package cannot read rightly.
func (p properties) check(base string) error {
	refuse := func(format string, args ...any) error {
		return fault.Humanf("read this table with Spark, or have it written as a copy-on-write table of version 6",
			"table %s: %s", base, fmt.Sprintf(format, args...))
	}
	switch {
	case len(p) == 0:
		return fault.Humanf("restore it from hoodie.properties.backup or a backup of the table",
			"table %s: .hoodie/hoodie.properties is empty", base)
	case p[propName] == "":
		return refuse("hoodie.properties has no %s", propName)
	case p[propVersion] != "6" && !p.later():
		return refuse("table version %s is not supported, only 6, 8 and 9", or(p[propVersion], "0"))
	case p[propLayout] != "" && p[propLayout] != p.layout():
		return refuse("timeline layout %s is not supported, for table version %s only %s", p[propLayout], p[propVersion], p.layout())
	case p[propType] != "" && p[propType] != "COPY_ON_WRITE" && !p.mergeOnRead():
		return refuse("table type %s is not known", p[propType])
	case p.mergeOnRead() && !p.is(propMetaFields, true):
		return refuse("a merge-on-read table without Hudi's own columns cannot be merged")
	case p[propBaseFormat] != "" && !strings.EqualFold(p[propBaseFormat], "parquet"):
		return refuse("base files are %s, not parquet", p[propBaseFormat])
	case p["hoodie.bootstrap.base.path"] != "":
		return refuse("bootstrapped tables are not supported")
	case p.is(propDropPartitions, false) && p.mergeOnRead():
		return refuse("%s=true is not supported for merge-on-read tables", propDropPartitions)
	case p["hoodie.table.format"] != "" && p["hoodie.table.format"] != "native":
		return refuse("table format %s is not supported", p["hoodie.table.format"])
	}
	if sum := p[propChecksum]; sum != "" && sum != tableChecksum(p[propDatabase], p[propName]) {
		return fault.Humanf("restore hoodie.properties, or remove its line "+propChecksum,
			"table %s: checksum %s in hoodie.properties is not that of table %q in database %q", base, sum, p[propName], p[propDatabase])
	}
	return nil
}

// later reports a table of the versions that Hudi 1.x has brought.
func (p properties) later() bool { return p[propVersion] == "8" || p[propVersion] == "9" }

// layout is the timeline layout that goes with the table's version.
func (p properties) layout() string {
	if p.later() {
		return "2"
	}
	return "1"
}

// timelineFolder is where the timeline is, below the base.
func (p properties) timelineFolder() string {
	if p.later() {
		return ".hoodie/" + or(p["hoodie.timeline.path"], "timeline")
	}
	return ".hoodie"
}

func (p properties) mergeOnRead() bool { return p[propType] == "MERGE_ON_READ" }

// database returns the database that the table says it is of; "" if none.
func (p properties) database() string { return or(p[propDatabase], p[propOwnDatabase]) }

func or[T ~string](s, other T) T {
	if s == "" {
		return other
	}
	return s
}

// newProperties returns the properties of a new table.
func newProperties(cfg Config, schema Schema) properties {
	keygen := keygenNone
	switch {
	case len(cfg.PartitionFields) == 0:
	case cfg.PartitionTime != nil:
		keygen = keygenTime
	case len(cfg.PartitionFields) == 1 && len(cfg.KeyFields) == 1:
		keygen = keygenSimple
	default:
		keygen = keygenComplex
	}
	p := properties{
		propName:           cfg.Table,
		propDatabase:       "",
		propOwnDatabase:    cfg.Database,
		propType:           "COPY_ON_WRITE",
		propVersion:        "6",
		propLayout:         "1",
		propChecksum:       tableChecksum("", cfg.Table),
		propPartitions:     strings.Join(cfg.PartitionFields, ","),
		propKeys:           strings.Join(cfg.KeyFields, ","),
		propKeygen:         keygenPackage + string(keygen),
		propPayload:        payloadPackage + string(or(cfg.Payload, EventTime)),
		propHive:           strconv.FormatBool(cfg.HivePartitions),
		propURLEncode:      strconv.FormatBool(cfg.URLEncode),
		propDropPartitions: "false",
		propMetaFields:     "true",
		propTimezone:       "UTC",
		propSchema:         schema.JSON(),
		propArchive:        "archived",
		propBaseFormat:     "PARQUET",
		propCDC:            "false",
		propMetafileFormat: "false",
	}
	if cfg.Precombine != "" {
		p[propPrecombine] = cfg.Precombine
	}
	if cfg.PartitionTime != nil {
		cfg.PartitionTime.put(p)
	}
	return p
}
