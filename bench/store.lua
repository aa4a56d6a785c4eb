-- For wrk: writes keys k000000000 to k<KEYS - 1>, with values that do not compress.
--   wrk -t 1 -c N -d TIME -s store.lua URL -- ORDER KEYS VALUE_BYTES
-- ORDER: "each" writes each key once, scattered, then starts over (wrk cannot end by count: whoever
-- starts it ends it); "any" writes keys at random.
local STEP = 7919 -- prime, so that i * STEP visits every number below KEYS once
local order, keys, value_bytes, pool
local sent = 0

function init(args)
  order, keys, value_bytes = args[1], tonumber(args[2]), tonumber(args[3])
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
  local key = order == "each" and (sent * STEP) % keys or math.random(0, keys - 1)
  sent = sent + 1
  local from = math.random(#pool - value_bytes)
  return wrk.format("POST", "/store/", nil, string.format('{"key":"k%09d","value":"%s"}', key,
      pool:sub(from, from + value_bytes - 1)))
end
