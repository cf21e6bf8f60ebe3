import java.sql.*;
import java.util.*;

/**
 * Reads the test's tables from the model of SQL Server through Microsoft's driver:
 * values, metadata, transactions, prepared statements, large result sets.
 * Usage: java -cp mssql-jdbc.jar ReadTypes.java URL
 * Prints a line "NAME|row|value" for each value, and lines of metadata.
 */
public class ReadTypes {
    static String text(ResultSet rs, int i) throws SQLException {
        Object v = rs.getObject(i);
        if (v == null) return "NULL";
        switch (rs.getMetaData().getColumnTypeName(i)) {
        case "time": return rs.getObject(i, java.time.LocalTime.class).toString();
        case "datetime", "datetime2", "smalldatetime": return rs.getObject(i, java.time.LocalDateTime.class).toString();
        case "datetimeoffset": return rs.getObject(i, java.time.OffsetDateTime.class).toString();
        }
        if (v instanceof byte[] b) {
            StringBuilder s = new StringBuilder();
            for (byte x : b) s.append(String.format("%02x", x));
            return s.toString();
        }
        return rs.getString(i);
    }

    static void table(ResultSet rs, String label) throws SQLException {
        int n = rs.getMetaData().getColumnCount();
        while (rs.next()) {
            StringBuilder s = new StringBuilder(label);
            for (int i = 1; i <= n; i++) s.append('|').append(rs.getString(i));
            System.out.println(s);
        }
    }

    public static void main(String[] a) throws Exception {
        System.setOut(new java.io.PrintStream(System.out, true, "UTF-8"));
        try (Connection c = DriverManager.getConnection(a[0])) {
            try (Statement s = c.createStatement(); ResultSet rs = s.executeQuery("SELECT * FROM dbo.types ORDER BY id")) {
                ResultSetMetaData m = rs.getMetaData();
                for (int row = 1; rs.next(); row++)
                    for (int i = 1; i <= m.getColumnCount(); i++)
                        System.out.println(m.getColumnName(i) + "|" + row + "|" + text(rs, i));
                for (int i = 1; i <= m.getColumnCount(); i++)
                    System.out.println("result|" + m.getColumnName(i) + "|" + m.getColumnTypeName(i) + "|" + m.getColumnType(i) + "|" + m.getPrecision(i) + "|" + m.getScale(i) + "|" + m.isNullable(i));
            }
            DatabaseMetaData m = c.getMetaData();
            System.out.println("product|" + m.getDatabaseProductVersion());
            table(m.getTables("crm", null, null, new String[] { "TABLE" }), "tables");
            try (ResultSet rs = m.getColumns("crm", "dbo", "types", null)) {
                while (rs.next())
                    System.out.println("column|" + rs.getString(4) + "|" + rs.getInt(5) + "|" + rs.getString(6) + "|" + rs.getInt(7) + "|" + rs.getInt(9) + "|" + rs.getInt(11) + "|" + rs.getString(13));
            }
            table(m.getPrimaryKeys("crm", "dbo", "types"), "key");
            table(m.getIndexInfo("crm", "dbo", "types", true, false), "index");
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO dbo.types (id, c_nvarchar, c_varbinary, c_decimal, c_datetime2) VALUES (?, ?, ?, ?, ?)")) {
                for (int id = 100; id < 103; id++) {
                    s.setInt(1, id);
                    s.setString(2, "naïve " + id);
                    s.setBytes(3, new byte[] { 1, 2, (byte) id });
                    s.setBigDecimal(4, new java.math.BigDecimal("12.5"));
                    s.setObject(5, java.time.LocalDateTime.of(2024, 2, 29, 1, 2, 3, 400));
                    if (s.executeUpdate() != 1) throw new SQLException("not one row");
                }
            }
            try (PreparedStatement s = c.prepareStatement("SELECT count(*), max(c_nvarchar), max(c_decimal), max(c_datetime2) FROM dbo.types WHERE id >= ?")) {
                s.setInt(1, 100);
                table(s.executeQuery(), "inserted");
                c.rollback();
                s.setInt(1, 100);
                table(s.executeQuery(), "rolled back");
            }
            c.commit();
            try (Statement s = c.createStatement()) {
                s.executeQuery("SELECT no_such FROM dbo.types");
                System.out.println("no error");
            } catch (SQLException e) {
                System.out.println("error|" + e.getErrorCode() + "|" + e.getMessage());
            }
        }
    }
}
