-- wrk's script: wrk ... -s load.lua URL -- FOLDER PREFIX
-- FOLDER/tokens: one token a line, taken in turn. FOLDER/texts: one JSON string a line, read on in turn; eight letters that
-- are never the same twice go in front of each, unless FOLDER/same exists: then the first text is sent again and again.
-- FOLDER/front and FOLDER/back: the body around the text. FOLDER/headers: more header lines.
local heads, texts, front, back, at, fixed = {}, {}, nil, nil, 0, nil

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  local folder = args[1]
  local more = read(folder .. "/headers") or ""
  front, back = read(folder .. "/front") .. '"', read(folder .. "/back")
  at = tonumber(args[2]) or 0
  for line in io.lines(folder .. "/texts") do
    texts[#texts + 1] = " " .. line:sub(2) .. back
  end
  if read(folder .. "/same") then fixed = front .. "aaaaaaaa" .. texts[1] end
  for token in io.lines(folder .. "/tokens") do
    heads[#heads + 1] = "POST /v1/chat/completions HTTP/1.1\r\nhost: llm.example.com\r\n"
      .. "content-type: application/json\r\n" .. more .. "authorization: Bearer " .. token .. "\r\ncontent-length: "
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
  local body = fixed or front .. letters(at * 7919) .. texts[at % #texts + 1]
  return heads[at % #heads + 1] .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('{"requests":%d,"seconds":%.6f,"refused":%d,"lost":%d,"p50":%.3f,"p99":%.3f}\n',
    summary.requests, summary.duration / 1e6, summary.errors.status, lost, latency:percentile(50), latency:percentile(99)))
end
