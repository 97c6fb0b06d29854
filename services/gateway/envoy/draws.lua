-- What Envoy's own number cannot draw: which bucket a request's user has, where the route's split is sticky, and which shadows
-- the request is sent to beside, where these have samples of their own. It follows capture.lua in one script, and runs only on
-- routes that ask for it: no other request pays for it.
--
-- The bucket goes into a header, and Envoy looks for the route again: each arm is a route for a range of buckets. How it was
-- drawn goes into the stream's metadata, from where the arm's stamp takes it. A request that names no user is drawn by its
-- own id (a prediction id's repetition meets the same arm), and says so. Should anything fail here, the request stays on the
-- route it is on, which draws it as a split without users does.
--
-- Each sample is drawn by the request's id, which Envoy makes at random, with a key of its own: so none knows of another. What
-- is drawn is said in a header, as the cluster that the route's mirror sends it to; without the header it sends nothing.
--
-- The same hash in Python: switchyard_contracts/sticky.py.

local bit = require("bit")
local bxor, rol, bor, lshift, tobit = bit.bxor, bit.rol, bit.bor, bit.lshift, bit.tobit

local BUCKETS = 10000

-- HalfSipHash-2-4 of 32 bits.
local function half_sip_hash(data, k0, k1)
  local v0, v1, v2, v3 = tobit(k0), tobit(k1), bxor(0x6c796765, k0), bxor(0x74656462, k1)
  local function mix(rounds)
    for _ = 1, rounds do
      v0 = tobit(v0 + v1)
      v1 = bxor(rol(v1, 5), v0)
      v0 = rol(v0, 16)
      v2 = tobit(v2 + v3)
      v3 = bxor(rol(v3, 8), v2)
      v0 = tobit(v0 + v3)
      v3 = bxor(rol(v3, 7), v0)
      v2 = tobit(v2 + v1)
      v1 = bxor(rol(v1, 13), v2)
      v2 = rol(v2, 16)
    end
  end
  local size = #data
  local whole = size - size % 4
  for at = 1, whole, 4 do
    local a, b, c, d = byte(data, at, at + 3)
    local word = bor(a, lshift(b, 8), lshift(c, 16), lshift(d, 24))
    v3 = bxor(v3, word)
    mix(2)
    v0 = bxor(v0, word)
  end
  local a, b, c = byte(data, whole + 1, size)
  local last = bor(a or 0, lshift(b or 0, 8), lshift(c or 0, 16), lshift(size, 24))
  v3 = bxor(v3, last)
  mix(2)
  v0 = bxor(v0, last)
  v2 = bxor(v2, 0xff)
  mix(4)
  return bxor(v1, v3) % 4294967296
end

local function cookie(headers, wanted)
  for name, value in string.gmatch(headers:get("cookie") or "", "([^=;%s]+)%s*=%s*([^;]*)") do
    if name == wanted then
      return match(value, "^(.-)%s*$")
    end
  end
end

local function sample(context, headers)
  local id = headers:get("x-request-id")
  for _, each in ipairs(context:get("samples") or {}) do
    if half_sip_hash(id, each.k0, each.k1) % BUCKETS < each.share then
      headers:replace(each.header, each.door)
    end
  end
end

local function draw(handle)
  local context, headers = handle:filterContext(), handle:headers()
  sample(context, headers)
  if not context:get("by") then
    return
  end
  local user
  if context:get("by") == "cookie" then
    user = cookie(headers, context:get("name"))
  else
    user = headers:get(context:get("name"))
  end
  local drawn = "sticky"
  if not user or user == "" then
    drawn, user = "split", headers:get("x-prediction-id") or headers:get("x-request-id")
  end
  local bucket = half_sip_hash(user, context:get("k0"), context:get("k1")) % BUCKETS
  handle:streamInfo():dynamicMetadata():set("switchyard.split", "drawn", drawn .. "|" .. bucket)
  headers:replace("x-switchyard-bucket", tostring(bucket))
  handle:clearRouteCache()
end

local capture_request = envoy_on_request

function envoy_on_request(handle)
  local drawn, fault = pcall(draw, handle)
  capture_request(handle)
  if not drawn then
    error(fault)
  end
end
