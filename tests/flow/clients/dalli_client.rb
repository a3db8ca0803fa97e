# Dalli against a server. Arguments: host, port, protocol (always binary: this Dalli has no other).
# Prints a line for each check that held (see CHECKS in ../test_clients.py), or ends with an exception.
require 'dalli'

$stdout.sync = true
Dalli.logger.level = Logger::FATAL
COUNT = 200
RAW = { raw: true }.freeze
CLIENT = Dalli::Client.new("#{ARGV[0]}:#{ARGV[1]}", compress: false, failover: false, socket_timeout: 90,
                                                   socket_max_failures: 0)

def check(condition, what)
  raise what unless condition
end

def passed(name)
  puts "#{name}: ok"
end

def value(index)
  "value of k:#{index}\r\nEND\r\n#{(97 + index % 26).chr * (index * 7 % 300)}".b
end

def keys(prefix, range)
  range.map { |i| "#{prefix}:#{i}" }
end

def values(prefix, range)
  range.to_h { |i| ["#{prefix}:#{i}", value(i)] }
end

def check_keys
  COUNT.times { |i| check(CLIENT.set("k:#{i}", value(i), 0, RAW), "set k:#{i}") }
  COUNT.times { |i| check(CLIENT.get("k:#{i}") == value(i), "get k:#{i}") }
  check(CLIENT.get('none').nil?, 'get of nothing')
  passed('set')
  check(CLIENT.get_multi(keys('k', 0...2 * COUNT)) == values('k', 0...COUNT), 'get_multi')
  several = CLIENT.get_multi_cas(keys('k', 0...COUNT))
  check(several.size == COUNT && several['k:3'][0] == value(3) && several['k:3'][1].positive?, 'get_multi_cas')
  passed('multi')
end

def check_stores
  check(CLIENT.add('a', '1', 0, RAW) && !CLIENT.add('a', '2', 0, RAW), 'add')
  passed('add')
  check(CLIENT.replace('a', 'mid', 0, RAW).positive? && CLIENT.replace('none', 'x', 0, RAW).zero?, 'replace')
  passed('replace')
  check(CLIENT.append('a', '-end') && !CLIENT.append('none', 'x'), 'append')
  passed('append')
  check(CLIENT.prepend('a', 'start-') && CLIENT.get('a') == 'start-mid-end', 'prepend')
  passed('prepend')
  CLIENT.set('c', 'one')
  got, cas = CLIENT.get_cas('c')
  check(got == 'one' && CLIENT.set_cas('c', 'two', cas) && !CLIENT.set_cas('c', 'three', cas), 'cas')
  check(CLIENT.get('c') == 'two' && CLIENT.cas('c') { |old| "#{old}!" } && CLIENT.get('c') == 'two!', 'cas')
  passed('cas')
end

def check_changes
  CLIENT.set('n', '10', 0, RAW)
  check(CLIENT.incr('n', 5) == 15 && CLIENT.decr('n', 14) == 1 && CLIENT.decr('n', 5).zero?, 'counting')
  check(CLIENT.incr('none').nil? && CLIENT.incr('new', 1, 0, 7) == 7, 'incr of nothing')
  passed('count')
  check(CLIENT.delete('a') && !CLIENT.delete('a') && CLIENT.get('a').nil?, 'delete')
  passed('delete')
  check(CLIENT.touch('c', 1000) && !CLIENT.touch('none', 1000), 'touch')
  passed('touch')
  check(CLIENT.gat('c', 1000) == 'two!' && CLIENT.gat('none', 1000).nil?, 'gat')
  passed('gat')
end

def check_bytes
  every_byte = (0..255).to_a.pack('C*')
  ['', "\r\n", "\r\nEND\r\n", "VALUE k:1 0 1\r\n", every_byte].each do |data|
    check(CLIENT.set('bytes', data, 0, RAW) && CLIENT.get('bytes') == data, "a value of #{data.bytesize} bytes")
  end
  passed('bytes')
  large = (every_byte * 3516)[0, 900_000]
  check(CLIENT.set('large', large, 0, RAW) && CLIENT.get('large') == large, 'a large value')
  passed('large')
  [42, 1.5, nil, [1, { 'a' => :b }]].each do |typed|
    check(CLIENT.set('typed', typed) && CLIENT.get('typed') == typed, "a #{typed.class}")
  end
  passed('flags')
end

def check_quiet
  CLIENT.multi do
    COUNT.times { |i| CLIENT.set("q:#{i}", value(i), 0, RAW) }
    CLIENT.delete('q:0')
  end
  check(CLIENT.get_multi(keys('q', 0...COUNT)) == values('q', 1...COUNT), 'after quiet sets')
  passed('noreply')
end

def check_expiry
  late = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 10
  while CLIENT.get('brief')
    check(Process.clock_gettime(Process::CLOCK_MONOTONIC) < late, 'it does not expire')
    sleep 0.1
  end
  check(CLIENT.get('long') == 'long', 'the long-lived one')
  passed('expiry')
end

def check_server
  check(CLIENT.version.values == CLIENT.version.values.grep(/^1\.\d+\.\d+/), 'version')
  passed('version')
  check(CLIENT.stats.values[0]['curr_items'].to_i > COUNT, 'stats')
  passed('stats')
  check(CLIENT.flush.all?, 'flush')
  check(CLIENT.get_multi(keys('k', 0...COUNT)).empty?, 'get_multi after flush')
  passed('flush')
end

CLIENT.set('brief', 'brief', 1)
CLIENT.set('long', 'long', 1000)
check_keys
check_stores
check_changes
check_bytes
check_quiet
check_expiry
check_server
CLIENT.close
