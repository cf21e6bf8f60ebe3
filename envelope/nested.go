package envelope

// skip returns what follows a bare value of type t that this package wrote.
func (t *Type) skip(src []byte) []byte {
	switch t.Kind {
	case Boolean:
		return src[1:]
	case Float:
		return src[4:]
	case Double:
		return src[8:]
	case Int, Long:
		_, rest := decodeLong(src)
		return rest
	case Record:
		for i := range t.Fields {
			src = t.Fields[i].Type.skipOptional(src, t.Fields[i].Nullable)
		}
		return src
	case Array, Map:
		n, rest := decodeLong(src)
		for ; n != 0; n, rest = decodeLong(rest) {
			for range n {
				if t.Kind == Map {
					size, key := decodeLong(rest)
					rest = key[size:]
				}
				rest = t.Items.skipOptional(rest, t.ItemsNullable)
			}
		}
		return rest
	default:
		n, body := decodeLong(src)
		return body[n:]
	}
}

// skipOptional is skip for a value that, if nullable, is in ["null", t].
func (t *Type) skipOptional(src []byte, nullable bool) []byte {
	if nullable {
		null := src[0] == 0
		if src = src[1:]; null {
			return src
		}
	}
	return t.skip(src)
}

// appendJSONNested appends a record, array or map as JSON and returns what
// follows it in v.
func appendJSONNested(dst []byte, t *Type, v []byte) (out, rest []byte) {
	switch t.Kind {
	case Record:
		dst = append(dst, '{')
		for i := range t.Fields {
			f := &t.Fields[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, f.Name), ':')
			dst, v = appendJSONOptional(dst, &f.Type, f.Nullable, v)
		}
		return append(dst, '}'), v
	case Array, Map:
		return appendJSONItems(dst, t, v)
	default:
		rest = t.skip(v)
		return appendJSONValue(dst, t, v[:len(v)-len(rest)]), rest
	}
}

func appendJSONItems(dst []byte, t *Type, v []byte) (out, rest []byte) {
	begin, end := byte('['), byte(']')
	if t.Kind == Map {
		begin, end = '{', '}'
	}
	start := len(dst)
	dst = append(dst, begin)
	n, v := decodeLong(v)
	for ; n != 0; n, v = decodeLong(v) {
		for range n {
			if len(dst) > start+1 {
				dst = append(dst, ',')
			}
			if t.Kind == Map {
				size, key := decodeLong(v)
				dst = append(appendJSONString(dst, string(key[:size])), ':')
				v = key[size:]
			}
			dst, v = appendJSONOptional(dst, t.Items, t.ItemsNullable, v)
		}
	}
	return append(dst, end), v
}

func appendJSONOptional(dst []byte, t *Type, nullable bool, v []byte) (out, rest []byte) {
	if nullable {
		null := v[0] == 0
		if v = v[1:]; null {
			return append(dst, "null"...), v
		}
	}
	return appendJSONNested(dst, t, v)
}
