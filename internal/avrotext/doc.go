// Package avrotext works on the text of Avro schemas as registries keep it:
// it checks that a text is a schema, gives its canonical form by Apicurio's
// rule, and puts referenced schemas in place. It keeps the order of custom
// properties, which schema models drop, and is safe on hostile input: depth
// and number of names are bounded, nothing panics.
package avrotext
