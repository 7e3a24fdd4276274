-- Gives errors the shape that a façade's clients read: OpenAI's, or, where the route's context says `webui`, that of the
-- Stable Diffusion web UI. Runs on the responses of the façades' routes only.

-- As services/mesh/openai.py has them; a test compares the two.
local TYPES = {
  ["400"] = "invalid_request_error",
  ["401"] = "authentication_error",
  ["403"] = "permission_error",
  ["404"] = "invalid_request_error",
  ["409"] = "invalid_request_error",
  ["413"] = "invalid_request_error",
  ["429"] = "rate_limit_error",
  ["501"] = "invalid_request_error",
}

-- The literal that follows `key` in JSON text, still escaped; nil where there is none.
local function literal(json, key)
  local _, from = string.find(json, '"' .. key .. '": ?"')
  if from == nil then return nil end
  local at = from + 1
  while true do
    local found = string.find(json, '["\\]', at)
    if found == nil then return nil end
    if string.sub(json, found, found) == '"' then return string.sub(json, from + 1, found - 1) end
    at = found + 2
  end
end

local function quoted(text)
  if text == nil then return "null" end
  return '"' .. text .. '"'
end

-- A google.rpc.Status in JSON as OpenAI's envelope: `code` is the ErrorInfo's reason, `param` the first field at fault.
local function envelope(json, status)
  local kind = TYPES[status] or "server_error"
  local reason = literal(json, "reason")
  if reason ~= nil then reason = string.lower((string.gsub(reason, "^ERROR_REASON_", ""))) end
  return '{"error": {"message": ' .. quoted(literal(json, "message") or "") .. ', "type": "' .. kind
    .. '", "param": ' .. quoted(literal(json, "field")) .. ', "code": ' .. quoted(reason) .. "}}"
end

-- The same as the web UI's own object.
local function plain(json, status)
  local message = quoted(literal(json, "message") or "")
  return '{"error": "HTTP ' .. status .. '", "detail": ' .. message .. ', "body": "", "errors": ' .. message .. "}"
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-parley-http-status")
  if status ~= nil then
    -- The façade wrote the error itself and says which HTTP status it goes with.
    headers:remove("x-parley-http-status")
    -- Who calls the façade by gRPC gets the body as it is: a gRPC answer with another status than 200 is none.
    if not string.find(headers:get("content-type") or "", "^application/grpc") then headers:replace(":status", status) end
    return
  end
  status = headers:get(":status")
  if status == "200" or headers:get("content-type") ~= "application/json" then return end
  local body = handle:body()
  if body == nil then return end
  local json = body:getBytes(0, body:length())
  if string.find(json, '^{"code"') == nil then return end
  local shape = handle:filterContext():get("dialect") == "webui" and plain or envelope
  body:setBytes(shape(json, status))
end
