-- A request that only gRPC's own limit found too large (its JSON streams through the transcoder) is 413 and not 429:
-- a retry would be in vain. Runs on the responses of the native services' routes.

local ANSWER = '{"code":3,"message":"The request is over 72 MiB, the most that a service takes. Send less.","details":'
  .. '[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ERROR_REASON_TOO_LARGE","domain":"parley"}]}'

function envoy_on_response(handle)
  if handle:headers():get(":status") ~= "429" then return end
  local body = handle:body()
  if body == nil then return end
  if string.find(body:getBytes(0, body:length()), '"message":"[^"]*[Mm]essage larger than max') then
    -- Fetched again: waiting for the body ended the life of earlier references.
    handle:headers():replace(":status", "413")
    body:setBytes(ANSWER)
  end
end
