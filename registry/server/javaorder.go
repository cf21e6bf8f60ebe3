package server

import (
	"slices"
	"unicode/utf16"
)

// javaOrder returns the distinct elements in the order in which a Java HashSet
// gives them, which is the order of the reasons in Apicurio's answers.
func javaOrder(list []violation, hash func(violation) uint32) []violation {
	var distinct []violation
	seen := make(map[violation]bool, len(list))
	for _, v := range list {
		if !seen[v] {
			distinct, seen[v] = append(distinct, v), true
		}
	}
	size := uint32(16) // the table doubles when it is three quarters full
	for uint32(len(distinct)) > size*3/4 {
		size *= 2
	}
	bucket := func(v violation) int {
		h := hash(v)
		return int((h ^ h>>16) & (size - 1))
	}
	slices.SortStableFunc(distinct, func(a, b violation) int { return bucket(a) - bucket(b) })
	return distinct
}

// javaHash is the hash code of Apicurio's RuleViolation.
func (v violation) javaHash() uint32 {
	return 31*(31+javaHash(v.Context)) + javaHash(v.Description)
}

// javaHash is String.hashCode.
func javaHash(s string) uint32 {
	var h uint32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + uint32(unit)
	}
	return h
}
