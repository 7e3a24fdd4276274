-- Goes by what identity answered a moment ago to the same request of the same caller. Identity says for how long, in
-- seconds (at most one), and does so only for callers of whom nothing is counted. Runs before ext_authz, which a request
-- skips whose answer is here; refusals are never kept.

local OWN, THEIRS = "parley.decisions", "envoy.filters.http.ext_authz"
-- Each worker has a table of its own. A full one is begun anew: what is in it is old within a second.
local LARGEST = 10000
-- Of a longer name nothing is kept: paths may be as long as all headers, and whoever may call could fill the memory.
local LONGEST = 4096
local kept, count = {}, 0

-- Everything that identity decides by. No part can hold a line feed.
local function name_of(handle, headers)
  local credential, key = headers:get("authorization"), headers:get("x-api-key")
  if credential == nil and key == nil then return nil end
  local path = headers:get(":path")
  local query = string.find(path, "?", 1, true)
  if query ~= nil then path = string.sub(path, 1, query - 1) end
  return table.concat({
    headers:get(":method"), path, credential or "", key or "",
    headers:get("x-parley-token-payload") or "",
    -- Without the port.
    string.match(handle:streamInfo():downstreamRemoteAddress(), "^(.*):%d+$") or "",
  }, "\n")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local name = name_of(handle, headers)
  if name == nil or #name > LONGEST then return end
  local now = handle:timestamp()
  local answer = kept[name]
  if answer == nil or answer.ends <= now then
    local metadata = handle:streamInfo():dynamicMetadata()
    metadata:set(OWN, "name", name)
    metadata:set(OWN, "asked", now)
    return
  end
  for header, value in pairs(answer.headers) do headers:replace(header, value) end
  headers:remove("authorization")
  headers:remove("x-api-key")
  handle:streamInfo():dynamicMetadata():set(OWN, "kept", true)
end

function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local asked = metadata:get(OWN)
  if asked == nil or asked.name == nil then return end
  local answer = metadata:get(THEIRS)
  if answer == nil or answer.keep == nil then return end
  -- It holds from when it was asked for: what became of it meanwhile is not known here.
  local ends = asked.asked + answer.keep * 1000
  if ends <= handle:timestamp() then return end
  if kept[asked.name] == nil then count = count + 1 end
  if count > LARGEST then kept, count = {}, 1 end
  kept[asked.name] = { ends = ends, headers = answer.headers }
end
