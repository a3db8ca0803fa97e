# Dalli with SASL PLAIN. Arguments: host, port, user, password. Prints "in" when a value could be set and read back,
# "refused" when the server did not let it.
require 'dalli'
require 'logger'

Dalli.logger = Logger.new($stderr)
client = Dalli::Client.new("#{ARGV[0]}:#{ARGV[1]}", username: ARGV[2], password: ARGV[3], socket_timeout: 90,
                                                   failover: false)
begin
  client.set('sasl:k', 'value', 0, raw: true)
  puts client.get('sasl:k') == 'value' ? 'in' : 'a wrong value'
rescue Dalli::DalliError => e
  warn e.inspect
  puts 'refused'
end
