import io.debezium.embedded.Connect;
import io.debezium.engine.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * Runs Debezium's SQL Server connector in Debezium's own engine, once for each
 * properties file, all at a time. When the snapshots of all are done it runs the
 * changes, batches between lines of GO, through Microsoft's driver. Instead of the
 * time of "WAITFOR DELAY '…' -- n records" it waits until each has written n.
 * Usage: RunDebezium JDBC-URL CHANGES SECONDS OUT-DIRECTORY PROPERTIES...
 * For each file NAME.properties it writes OUT-DIRECTORY/NAME.jsonl: a line for each
 * record with seq, topic, headers, key and value as Kafka Connect's JSON converter
 * gives them with their schemas, and the source's partition and offset. It ends
 * when all have a record of a topic that ends with "zend".
 */
public class RunDebezium {
    static final Pattern WAIT = Pattern.compile("WAITFOR DELAY '.*' -- (\\d+) records");

    static final class Run {
        final String name;
        final Writer out;
        final CountDownLatch snapshot = new CountDownLatch(1), end = new CountDownLatch(1);
        volatile String failure;
        int seq;
        DebeziumEngine<?> engine;

        Run(Path file, Path dir) throws IOException {
            name = file.getFileName().toString().replace(".properties", "");
            out = new OutputStreamWriter(new FileOutputStream(dir.resolve(name + ".jsonl").toFile()), StandardCharsets.UTF_8);
        }

        synchronized void write(SourceRecord r, JsonConverter keys, JsonConverter values) throws IOException {
            StringBuilder s = new StringBuilder("{\"seq\":" + ++seq + ",\"topic\":" + quote(r.topic()) + ",\"headers\":[");
            String comma = "";
            for (Header h : r.headers()) {
                s.append(comma).append("{\"key\":").append(quote(h.key())).append(",\"value\":").append(json(values, h.schema(), h.value())).append('}');
                comma = ",";
            }
            s.append("],\"key\":").append(json(keys, r.keySchema(), r.key())).append(",\"value\":").append(json(values, r.valueSchema(), r.value()));
            s.append(",\"sourcePartition\":").append(map(r.sourcePartition())).append(",\"sourceOffset\":").append(map(r.sourceOffset())).append("}\n");
            out.write(s.toString());
            out.flush();
            notifyAll();
            Map<String, ?> o = r.sourceOffset();
            if (o != null && (Boolean.TRUE.equals(o.get("snapshot_completed")) || !o.containsKey("snapshot"))) snapshot.countDown();
            if (r.topic().endsWith("zend") && o != null && !o.containsKey("snapshot")) end.countDown();
        }
    }

    /** Whether the run has written n records before the deadline. */
    static boolean awaitRecords(Run r, int n, long deadline) throws InterruptedException {
        synchronized (r) {
            for (long left; r.seq < n && r.failure == null && (left = (deadline - System.nanoTime()) / 1_000_000) > 0; ) r.wait(Math.min(left, 1000));
            if (r.seq < n && r.failure == null) r.failure = r.seq + " records in time, not " + n;
        }
        return r.failure == null;
    }

    static String json(JsonConverter c, Schema schema, Object v) {
        byte[] b = c.fromConnectData("", schema, v);
        return b == null ? "null" : new String(b, StandardCharsets.UTF_8);
    }

    static String quote(String s) { return s == null ? "null" : "\"" + s.replace("\\", "\\\\").replace("\"", "\\\"") + "\""; }

    static String map(Map<String, ?> m) {
        if (m == null) return "null";
        StringJoiner j = new StringJoiner(",", "{", "}");
        for (Map.Entry<String, ?> e : new TreeMap<String, Object>(m).entrySet())
            j.add(quote(e.getKey()) + ":" + (e.getValue() instanceof String t ? quote(t) : String.valueOf(e.getValue())));
        return j.toString();
    }

    static JsonConverter converter(boolean key) {
        JsonConverter c = new JsonConverter();
        c.configure(Map.of("schemas.enable", "true"), key);
        return c;
    }

    public static void main(String[] a) throws Exception {
        long deadline = System.nanoTime() + Long.parseLong(a[2]) * 1_000_000_000L;
        Path dir = Path.of(a[3]);
        Files.createDirectories(dir);
        List<Run> runs = new ArrayList<>();
        ExecutorService pool = Executors.newCachedThreadPool();
        for (int i = 4; i < a.length; i++) {
            Properties p = new Properties();
            try (Reader r = Files.newBufferedReader(Path.of(a[i]))) { p.load(r); }
            Run run = new Run(Path.of(a[i]), dir);
            JsonConverter keys = converter(true), values = converter(false);
            run.engine = DebeziumEngine.create(Connect.class).using(p)
                .using((ok, message, error) -> {
                    if (!ok) {
                        run.failure = message + ": " + error;
                        if (error != null) error.printStackTrace();
                        run.snapshot.countDown();
                        run.end.countDown();
                    }
                })
                .notifying(e -> {
                    try { run.write(e.value(), keys, values); } catch (IOException x) { throw new UncheckedIOException(x); }
                }).build();
            runs.add(run);
            pool.execute((Runnable) run.engine);
        }
        boolean ok = true;
        for (Run r : runs) ok &= await(r, r.snapshot, deadline, "snapshot");
        if (ok) {
            try (Connection c = DriverManager.getConnection(a[0]); Statement s = c.createStatement()) {
                for (String batch : Files.readString(Path.of(a[1])).split("\nGO\n")) {
                    Matcher wait = WAIT.matcher(batch);
                    if (!wait.matches()) s.execute(batch);
                    else for (Run r : runs) ok &= awaitRecords(r, Integer.parseInt(wait.group(1)), deadline);
                }
            }
            for (Run r : runs) ok &= await(r, r.end, deadline, "end");
        }
        for (Run r : runs) {
            try { r.engine.close(); } catch (Exception e) { System.err.println(r.name + ": " + e); }
            r.out.close();
        }
        System.exit(ok ? 0 : 1);
    }

    static boolean await(Run r, CountDownLatch l, long deadline, String what) throws InterruptedException {
        if (!l.await(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS)) r.failure = "no " + what + " in time";
        if (r.failure != null) System.err.println("failed: " + r.name + ": " + r.failure);
        return r.failure == null;
    }
}
