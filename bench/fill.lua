-- For wrk: writes each of KEYS keys once, in scattered order, then starts over (wrk cannot end by
-- count: whoever starts it ends it). Values do not compress.
--   wrk -t THREADS -c N -d 1h -s fill.lua URL -- KEYS VALUE_BYTES THREADS
local next_thread = 0
function setup(thread)
  thread:set("tid", next_thread)
  next_thread = next_thread + 1
end

local STEP = 7919 -- prime, so that i * STEP visits every number below KEYS once
local keys, value_bytes, threads, sent, share
local pool

function init(args)
  keys, value_bytes, threads = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  share = math.floor(keys / threads)
  if tid == threads - 1 then share = keys - share * (threads - 1) end
  sent = 0
  math.randomseed(tid + 1)
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
  local i = math.floor(keys / threads) * tid + sent % share
  sent = sent + 1
  local from = math.random(#pool - value_bytes)
  return wrk.format("POST", "/store/", nil, string.format('{"key":"k%09d","value":"%s"}',
      (i * STEP) % keys, pool:sub(from, from + value_bytes - 1)))
end
