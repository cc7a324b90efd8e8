-- wrk's script: wrk ... -s load.lua URL -- FOLDER PREFIX
-- FOLDER/tokens: one token a line, taken in turn; FOLDER/body: the body, in which "@@@@@@@@" becomes eight letters
-- that are never the same twice, unless FOLDER/same exists; FOLDER/headers: more header lines.
local heads, front, back, at = {}, nil, nil, 0

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  local folder = args[1]
  local body, more = read(folder .. "/body"), read(folder .. "/headers") or ""
  local mark = body:find("@@@@@@@@", 1, true)
  if mark and not read(folder .. "/same") then
    front, back = body:sub(1, mark - 1), body:sub(mark + 8)
  else
    front, back = body, nil
  end
  at = tonumber(args[2]) or 0
  for token in io.lines(folder .. "/tokens") do
    heads[#heads + 1] = "POST /v1/chat/completions HTTP/1.1\r\nhost: llm.example.com\r\n"
      .. "content-type: application/json\r\n" .. more .. "authorization: Bearer " .. token
      .. "\r\ncontent-length: " .. #body .. "\r\n\r\n"
  end
end

local function letters(number)
  local out = {}
  for place = 1, 8 do
    out[place] = string.char(97 + number % 26)
    number = math.floor(number / 26)
  end
  return table.concat(out)
end

function request()
  at = at + 1
  local head = heads[at % #heads + 1]
  if back then return head .. front .. letters(at * 7919) .. back end
  return head .. front
end

function done(summary, latency)
  io.write(string.format('{"requests":%d,"seconds":%.6f,"wrong":%d,"p50":%.3f,"p99":%.3f}\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
