// gomemcache against a server. Arguments: host, port, protocol (always ascii).
// Prints a line for each check that held (see CHECKS in ../test_clients.py), or what went wrong, and exits with 1.
package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

const count = 200

var client *memcache.Client

func check(condition bool, what string, about ...interface{}) {
	if !condition {
		fmt.Println(append([]interface{}{what}, about...)...)
		os.Exit(1)
	}
}

func passed(name string) { fmt.Println(name + ": ok") }

func key(i int) string { return fmt.Sprintf("k:%d", i) }

func value(i int) []byte {
	return append([]byte(fmt.Sprintf("value of k:%d\r\nEND\r\n", i)), bytes.Repeat([]byte{byte('a' + i%26)}, i*7%300)...)
}

func set(key string, value []byte, flags uint32, seconds int32) {
	err := client.Set(&memcache.Item{Key: key, Value: value, Flags: flags, Expiration: seconds})
	check(err == nil, "set", key, err)
}

func expect(key string, value []byte, flags uint32) *memcache.Item {
	item, err := client.Get(key)
	check(err == nil, "get", key, err)
	check(bytes.Equal(item.Value, value) && item.Flags == flags && item.Key == key, "the wrong value for", key)
	return item
}

func expectNothing(key string) {
	_, err := client.Get(key)
	check(err == memcache.ErrCacheMiss, "get", key, err)
}

func checkKeys() {
	for i := 0; i < count; i++ {
		set(key(i), value(i), uint32(i), 0)
	}
	for i := 0; i < count; i++ {
		expect(key(i), value(i), uint32(i))
	}
	expectNothing("none")
	passed("set")
	var keys []string
	for i := 0; i < 2*count; i++ {
		keys = append(keys, key(i))
	}
	items, err := client.GetMulti(keys)
	check(err == nil && len(items) == count, "GetMulti", len(items), err)
	for i := 0; i < count; i++ {
		item := items[key(i)]
		check(item != nil && bytes.Equal(item.Value, value(i)) && item.Flags == uint32(i), "GetMulti", key(i))
	}
	passed("multi")
}

func checkChanges() {
	item := func(key, value string) *memcache.Item { return &memcache.Item{Key: key, Value: []byte(value)} }
	err := client.Add(item("a", "1"))
	check(err == nil, "add", err)
	err = client.Add(item("a", "2"))
	check(err == memcache.ErrNotStored, "add again", err)
	passed("add")
	err = client.Replace(item("a", "mid"))
	check(err == nil, "replace", err)
	err = client.Replace(item("none", "x"))
	check(err == memcache.ErrNotStored, "replace of nothing", err)
	expect("a", []byte("mid"), 0)
	passed("replace")
	set("c", []byte("one"), 0, 0)
	got := expect("c", []byte("one"), 0)
	got.Value = []byte("two")
	err = client.CompareAndSwap(got)
	check(err == nil, "cas", err)
	got.Value = []byte("three")
	err = client.CompareAndSwap(got)
	check(err == memcache.ErrCASConflict, "cas again", err)
	expect("c", []byte("two"), 0)
	passed("cas")
}

func counted(now uint64, err error) uint64 {
	check(err == nil, "counting", err)
	return now
}

func checkCounts() {
	set("n", []byte("10"), 0, 0)
	check(counted(client.Increment("n", 5)) == 15, "incr")
	check(counted(client.Decrement("n", 14)) == 1, "decr")
	check(counted(client.Decrement("n", 5)) == 0, "decr below 0")
	_, err := client.Increment("none", 1)
	check(err == memcache.ErrCacheMiss, "incr of nothing", err)
	passed("count")
	err = client.Delete("a")
	check(err == nil, "delete", err)
	err = client.Delete("a")
	check(err == memcache.ErrCacheMiss, "delete again", err)
	expectNothing("a")
	passed("delete")
	err = client.Touch("c", 1000)
	check(err == nil, "touch", err)
	err = client.Touch("none", 1000)
	check(err == memcache.ErrCacheMiss, "touch of nothing", err)
	passed("touch")
}

func checkBytes() {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, data := range [][]byte{{}, []byte("\r\n"), []byte("\r\nEND\r\n"), []byte("VALUE k:1 0 1\r\n"), every} {
		set("bytes", data, 0, 0)
		expect("bytes", data, 0)
	}
	passed("bytes")
	large := bytes.Repeat(every, 3516)[:900000]
	set("large", large, 1, 0)
	expect("large", large, 1)
	passed("large")
	set("flags", []byte("x"), 4294967295, 0)
	expect("flags", []byte("x"), 4294967295)
	passed("flags")
}

func checkExpiry() {
	end := time.Now().Add(10 * time.Second)
	for {
		_, err := client.Get("brief")
		if err == memcache.ErrCacheMiss {
			break
		}
		check(err == nil && time.Now().Before(end), "it does not expire", err)
		time.Sleep(100 * time.Millisecond)
	}
	expect("long", []byte("long"), 0)
	passed("expiry")
}

func checkFlush() {
	err := client.DeleteAll()
	check(err == nil, "DeleteAll", err)
	for i := 0; i < count; i++ {
		expectNothing(key(i))
	}
	set("a", []byte("again"), 0, 0)
	err = client.FlushAll()
	check(err == nil, "FlushAll", err)
	expectNothing("a")
	passed("flush")
}

func main() {
	client = memcache.New(os.Args[1] + ":" + os.Args[2])
	client.Timeout = 90 * time.Second
	set("brief", []byte("brief"), 0, 1)
	set("long", []byte("long"), 0, 1000)
	checkKeys()
	checkChanges()
	checkCounts()
	checkBytes()
	checkExpiry()
	checkFlush()
}
