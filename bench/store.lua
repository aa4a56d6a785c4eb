-- For wrk: overwrites keys of fill.lua at random, for as long as wrk runs.
--   wrk -t 1 -c N -d 10s -s store.lua URL -- KEYS VALUE_BYTES
local keys, value_bytes, pool

function init(args)
  keys, value_bytes = tonumber(args[1]), tonumber(args[2])
  math.randomseed(os.time())
  local letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
  local text = {}
  for i = 1, 65536 do
    local n = math.random(#letters)
    text[i] = letters:sub(n, n)
  end
  pool = table.concat(text)
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local from = math.random(#pool - value_bytes)
  return wrk.format("POST", "/store/", nil, string.format('{"key":"k%09d","value":"%s"}',
      math.random(0, keys - 1), pool:sub(from, from + value_bytes - 1)))
end
