-- gatepost's passdb and userdb for Dovecot 2.3 and 2.4: asks authd over loopback.
--
-- 2.3: passdb { driver = lua; args = file=/opt/gatepost/passdb.lua blocking=yes }
-- 2.4: passdb lua { lua_file = /opt/gatepost/passdb.lua }
-- (and userdb alike; the snippets in config/ have it all).
--
-- This file is replaced by every upgrade. Where authd listens on another address,
-- 2.4: lua_settings { authd = http://127.0.0.1:10099 } inside "passdb lua" and "userdb lua"
-- 2.3: a file of yours for this one, as Dovecot 2.3 hands nothing to a script:
--      GATEPOST_AUTHD = "http://127.0.0.1:10099"
--      dofile("/opt/gatepost/passdb.lua")
--
-- Whatever goes wrong is an internal failure, which mail programs are told as
-- "temporary"; "wrong password" is only what authd said.

local AUTHD = "http://127.0.0.1:10042"  -- auth.listen in gatepost.toml

-- Above authd's own deadline of 8 s, so that its answer is heard.
local TIMEOUT_SECONDS = 10
-- A restarted authd is back within these.
local ATTEMPTS = 3

local client
local is_2_4

function script_init(settings)
  AUTHD = settings and settings.authd or rawget(_G, "GATEPOST_AUTHD") or AUTHD
  local is_2_3
  is_2_3, client = pcall(dovecot.http.client, {
    request_timeout_msecs = TIMEOUT_SECONDS * 1000,
    max_attempts = ATTEMPTS,
  })
  is_2_4 = not is_2_3
  if is_2_4 then  -- it knows other names and refuses these; 2.3 takes any and ignores them
    client = dovecot.http.client({
      request_timeout = TIMEOUT_SECONDS .. "s",
      request_max_attempts = tostring(ATTEMPTS),
    })
  end
  return 0
end

function script_deinit()
end

-- Every byte but letters and digits: no value can end itself or begin another.
local function escaped(text)
  return (string.gsub(text, "[^A-Za-z0-9]", function(c)
    return string.format("%%%02X", string.byte(c))
  end))
end

local function ask(path, values)
  local form = {}
  for name, value in pairs(values) do
    form[#form + 1] = name .. "=" .. escaped(tostring(value or ""))
  end
  local request = client:request({ url = AUTHD .. path, method = "POST" })
  request:add_header("Content-Type", "application/x-www-form-urlencoded")
  request:set_payload(table.concat(form, "&"))
  local response = request:submit()
  local fields = {}
  for name, value in string.gmatch(response:payload() or "", "([^=\n]+)=([^\n]*)") do
    fields[name] = value
  end
  return response:status(), fields
end

-- The quota is bytes, 0 for unlimited; each version has its own name for it.
local function told(fields, prefix)
  local out = { user = fields.user }
  out[prefix .. "home"] = fields.home
  out[prefix .. "uid"] = fields.uid
  out[prefix .. "gid"] = fields.gid
  if is_2_4 then
    out[prefix .. "quota_storage_size"] = fields.quota == "0" and "unlimited" or fields.quota .. "B"
  else
    out[prefix .. "quota_rule"] = "*:bytes=" .. fields.quota
  end
  return out
end

-- smtp, imap, …: 2.4 calls it protocol and knows no service. authd tells sending by it.
local function service_of(request)
  return request.protocol or request.service
end

function auth_password_verify(request, password)
  local done, status, fields = pcall(ask, "/verify", {
    user = request.user,
    password = password,
    service = service_of(request),
    remote = request.remote_ip or request.rip,
  })
  -- After a failure, 2.4 takes nothing but a text.
  if not done then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "gatepost: authd cannot be asked"
  elseif status == 200 then
    return dovecot.auth.PASSDB_RESULT_OK, told(fields, "userdb_")
  elseif status == 401 then
    return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, "refused"
  end
  return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "gatepost: authd says " .. tostring(status)
end

function auth_userdb_lookup(request)
  local done, status, fields = pcall(ask, "/user", {
    user = request.user,
    service = service_of(request),
  })
  if not done then
    return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, "gatepost: authd cannot be asked"
  elseif status == 200 then
    return dovecot.auth.USERDB_RESULT_OK, told(fields, "")
  elseif status == 404 then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, "nobody of ours"
  end
  return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, "gatepost: authd says " .. tostring(status)
end
