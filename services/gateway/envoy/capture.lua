-- What a request and its answer said, for the record; and the few refusals that need a look at the headers.
--
-- Bodies go into the stream's dynamic metadata, from where the access log writes them (bootstrap.py, `line`). A script error
-- is counted by Envoy and the request passes: nothing here may stand in a request's way.
--
-- Namespaces: `switchyard` holds whole bodies: `q` (request) and `p` (answer), or `q64` and `p64` where the bytes are not text.
-- `switchyard.request` and `switchyard.response` hold bodies that came in pieces: "1", "2", … ("1b" in base64), and `end` once
-- the last piece was seen, so that a stream that breaks keeps what had come.

local CAPTURED = tonumber(os.getenv("SWITCHYARD_CAPTURE_BYTES"))
local MAX_REQUEST = tonumber(os.getenv("SWITCHYARD_MAX_REQUEST_BYTES"))
local CONTENT_TYPES = os.getenv("SWITCHYARD_CONTENT_TYPES")
local ANSWERS = os.getenv("SWITCHYARD_ANSWERS_DIR")

-- The first pieces are kept one by one; when a stream comes in crumbs, the later ones are gathered to this size.
local PIECES_KEPT_AT_ONCE = 256
local GATHERED_PIECE = 1024

local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

local allowed = {}
for media_type in string.gmatch(CONTENT_TYPES, "[^,%s]+") do
  allowed[lower(media_type)] = true
end

-- How many answers this thread has begun, in a file that outlives a killed Envoy: with it, what a kill lost is a number and
-- not a guess. Written by pwrite and not by a mapping, which would kill Envoy where the volume is full.
local function answer_counter(folder)
  local ffi = require("ffi")
  ffi.cdef([[
    int mkstemp(char *name);
    long pwrite(int file, const void *bytes, unsigned long size, long offset);
  ]])
  local name = ffi.new("char[?]", #folder + 12, folder .. "/XXXXXX")
  local file = ffi.C.mkstemp(name)
  if file < 0 then
    return function() end
  end
  local count = ffi.new("double[1]")
  local pwrite = ffi.C.pwrite
  return function()
    count[0] = count[0] + 1
    pwrite(file, count, 8, 0)
  end
end

local counts, count_answer = pcall(answer_counter, ANSWERS)
if not counts then
  count_answer = function() end
end

-- UTF-8 without NUL, which is what a metadata string can hold.
local function is_text(bytes)
  if not find(bytes, "[%z\128-\255]") then
    return true
  end
  local i, n = 1, #bytes
  while i <= n do
    local lead = byte(bytes, i)
    if lead == 0 then
      return false
    elseif lead < 0x80 then
      i = i + 1
    else
      local more, low, high = 0, 0x80, 0xBF
      if lead >= 0xC2 and lead <= 0xDF then
        more = 1
      elseif lead >= 0xE0 and lead <= 0xEF then
        more = 2
        if lead == 0xE0 then low = 0xA0 elseif lead == 0xED then high = 0x9F end
      elseif lead >= 0xF0 and lead <= 0xF4 then
        more = 3
        if lead == 0xF0 then low = 0x90 elseif lead == 0xF4 then high = 0x8F end
      else
        return false
      end
      if i + more > n then
        return false
      end
      for k = 1, more do
        local follow = byte(bytes, i + k)
        if follow < low or follow > high then
          return false
        end
        low, high = 0x80, 0xBF
      end
      i = i + more + 1
    end
  end
  return true
end

-- Handles fetched before a body arrived are void afterwards, so the metadata is asked for anew each time.
local function keep(handle, namespace, key, mark, bytes)
  local metadata = handle:streamInfo():dynamicMetadata()
  if is_text(bytes) then
    metadata:set(namespace, key, bytes)
  else
    metadata:set(namespace, key .. mark, handle:base64Escape(bytes))
  end
end

local function keep_whole(handle, key)
  local body = handle:body()
  if body == nil then
    return 0
  end
  local size = body:length()
  if size > 0 and CAPTURED > 0 then
    keep(handle, "switchyard", key, "64", body:getBytes(0, size > CAPTURED and CAPTURED or size))
  end
  return size
end

local function keep_pieces(handle, namespace)
  local pieces, kept, gathered = 0, 0, ""
  local function put()
    pieces = pieces + 1
    keep(handle, namespace, tostring(pieces), "b", gathered)
    gathered = ""
  end
  for piece in handle:bodyChunks() do
    local size = piece:length()
    if size > CAPTURED - kept then
      size = CAPTURED - kept
    end
    if size > 0 then
      gathered = gathered .. piece:getBytes(0, size)
      kept = kept + size
      if pieces < PIECES_KEPT_AT_ONCE or #gathered >= GATHERED_PIECE then
        put()
      end
    end
  end
  if #gathered > 0 then
    put()
  end
  handle:streamInfo():dynamicMetadata():set(namespace, "end", true)
end

local function refuse(handle, status, detail)
  handle:respond({[":status"] = status}, detail)
end

local function refuse_type(handle, media_type)
  local said = media_type and ("content-type is " .. sub(media_type, 1, 100)) or "content-type is missing"
  refuse(handle, "415", said .. "; send " .. CONTENT_TYPES)
end

local function content_length(headers)
  local written = headers:get("content-length")
  return written and tonumber(written)
end

-- Clients write the same few types over and over, so each is judged once.
local judged, judged_count = {}, 0

local function is_allowed(written)
  local verdict = judged[written]
  if verdict == nil then
    local media_type = lower(match(written, "^%s*([^;%s]*)"))
    verdict = not find(media_type, "pickle", 1, true) and (allowed[media_type] or find(media_type, "^application/.+%+json$") ~= nil)
    verdict = verdict and true or false
    if judged_count < 64 then
      judged[written] = verdict
      judged_count = judged_count + 1
    end
  end
  return verdict
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local media_type = headers:get("content-type")
  if media_type and not is_allowed(media_type) then
    return refuse_type(handle, media_type)
  end
  if headers:get("content-encoding") then
    return refuse(handle, "415", "content-encoding is not taken; send the body as it is")
  end
  local length = content_length(headers)
  if length and length > MAX_REQUEST then
    return refuse(handle, "413", "the body has " .. length .. " bytes; at most " .. MAX_REQUEST .. " are taken")
  end
  if length and length > CAPTURED then
    if not media_type then
      return refuse_type(handle, nil)
    end
    return keep_pieces(handle, "switchyard.request")
  end
  -- Small, none, or of unknown length. The last is read whole before the model sees any of it: only so can Envoy still
  -- answer 413 when it turns out too large, and a model needs the whole of it anyway.
  if keep_whole(handle, "q") > 0 and not media_type then
    return refuse_type(handle, nil)
  end
end

function envoy_on_response(handle)
  count_answer()
  local length = content_length(handle:headers())
  if length and length <= CAPTURED then
    keep_whole(handle, "p")
  else
    keep_pieces(handle, "switchyard.response")
  end
end
