-- gatepost's passdb and userdb for Dovecot 2.4, and for 2.3 where the script that
-- checkpassword runs is too slow: asks authd on its unix socket.
--
-- 2.4: passdb lua { lua_file = /opt/gatepost/passdb.lua }
-- 2.3: passdb { driver = lua; args = file=/opt/gatepost/passdb.lua blocking=yes }
--      and the package lua-socket, as 2.3 has no client for unix sockets
-- (and userdb alike; the snippets in config/ have it all).
--
-- This file is replaced by every upgrade. Where authd listens on another socket,
-- 2.4: lua_settings { authd = /run/other.sock } inside "passdb lua" and "userdb lua"
-- 2.3: a file of yours for this one, as Dovecot 2.3 hands nothing to a script:
--      GATEPOST_AUTHD = "/run/other.sock"
--      dofile("/opt/gatepost/passdb.lua")
--
-- Whatever goes wrong is an internal failure, which mail programs are told as
-- "temporary"; "wrong password" is only what authd said.

local AUTHD = "/run/gatepost/auth.sock"  -- auth.listen in gatepost.toml

-- Above authd's own deadline of 8 s, so that its answer is heard.
local TIMEOUT_SECONDS = 10
-- A restarted authd is back within these, a second apart at most.
local ATTEMPTS = 3

-- POSTs a form to a path of authd; returns status and body.
local post
local is_2_4

-- Dovecot's own client, which can reach a unix socket as if a proxy listened there.
local function poster_of_2_4()
  local client = dovecot.http.client({
    request_timeout = TIMEOUT_SECONDS .. "s",
    request_max_attempts = tostring(ATTEMPTS),
    proxy_socket_path = AUTHD,
  })
  return function(path, form)
    local request = client:request({ url = "http://authd" .. path, method = "POST" })
    request:add_header("Content-Type", "application/x-www-form-urlencoded")
    request:set_payload(form)
    local response = request:submit()
    return response:status(), response:payload() or ""
  end
end

local function asked(unix, text)
  local channel = unix.stream()
  channel:settimeout(TIMEOUT_SECONDS)
  local done, why = channel:connect(AUTHD)
  if not done then
    channel:close()
    return nil, why
  end
  local answer
  done, why = channel:send(text)
  if done then
    answer, why = channel:receive("*a")
  end
  channel:close()
  return answer, why
end

local function poster_of_2_3()
  local unix = require("socket.unix")
  local sleep = require("socket").sleep
  return function(path, form)
    local text = "POST " .. path .. " HTTP/1.0\r\nContent-Length: " .. #form .. "\r\n\r\n" .. form
    local answer, why
    for attempt = 1, ATTEMPTS do
      answer, why = asked(unix, text)
      -- Who was slow is not asked again: that question may be counted as a guess already.
      if answer and answer ~= "" or why == "timeout" or attempt == ATTEMPTS then
        break
      end
      sleep(attempt / ATTEMPTS)
    end
    local status, body = string.match(answer or "", "^HTTP/1%.%d (%d%d%d).-\r\n\r\n(.*\n)\n$")
    return tonumber(status) or error(why or "no whole answer"), body
  end
end

function script_init(settings)
  AUTHD = settings and settings.authd or rawget(_G, "GATEPOST_AUTHD") or AUTHD
  if string.sub(AUTHD, 1, 1) ~= "/" then
    error("gatepost: authd is the path of its unix socket, not " .. AUTHD)
  end
  -- 2.4 refuses this name, which 2.3 knows.
  is_2_4 = not pcall(dovecot.http.client, { request_timeout_msecs = TIMEOUT_SECONDS * 1000 })
  post = is_2_4 and poster_of_2_4() or poster_of_2_3()
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
  local status, body = post(path, table.concat(form, "&"))
  local fields = {}
  for name, value in string.gmatch(body, "([^=\n]+)=([^\n]*)") do
    fields[name] = value
  end
  return status, fields
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

-- smtp, imap, …: 2.4 calls it protocol and knows no service.
local function service_of(request)
  return request.protocol or request.service
end

-- A master user whose own password another passdb has checked ("result_success = continue"):
-- Dovecot asks whether the person exists, and the password is not the person's.
local function lookup_instead(request)
  return ask("/user", { user = request.user, service = service_of(request) })
end

function auth_password_verify(request, password)
  local done, status, fields
  if request.skip_password_check then
    done, status, fields = pcall(lookup_instead, request)
  else
    done, status, fields = pcall(ask, "/verify", {
      user = request.user,
      password = password,
      service = service_of(request),
      remote = request.remote_ip or request.rip,
    })
  end
  -- After a failure, 2.4 takes nothing but a text.
  if not done then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "gatepost: authd cannot be asked"
  elseif status == 200 then
    return dovecot.auth.PASSDB_RESULT_OK, told(fields, "userdb_")
  elseif status == 401 then
    return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, "refused"
  elseif status == 404 then
    return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, "nobody of ours"
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
