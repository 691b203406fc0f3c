-- gatepost's passdb and userdb for Dovecot 2.4, and for 2.3 where one process a login
-- (checkpassword) is too slow: asks authd on its unix socket.
--
-- 2.4: passdb lua { lua_file = /opt/gatepost/passdb.lua }
-- 2.3: passdb { driver = lua; args = file=/opt/gatepost/passdb.lua blocking=yes }
--      and the package lua-socket, as 2.3 has no client for unix sockets
-- (userdb alike; the shipped snippets have both).
--
-- Every upgrade replaces this file. Where authd listens on another socket,
-- 2.4: lua_settings { authd = /run/other.sock } inside "passdb lua" and "userdb lua"
-- 2.3: use a file of your own in place of this one, as Dovecot 2.3 passes no settings to a script:
--      GATEPOST_AUTHD = "/run/other.sock"
--      dofile("/opt/gatepost/passdb.lua")
--
-- Whatever goes wrong is an internal failure, which mail programs see as "temporary".
-- "Wrong password" is only what authd answered.

local AUTHD = "/run/gatepost/auth.sock"  -- auth.listen in gatepost.toml

-- During an upgrade from 0.1.0, until authd is restarted. Its authd refuses requests of this kind
-- on its socket, so only then is its port asked, which any process could listen on.
local REFUSAL_OF_0_1_0 = "reason=no such question"
local PORT_OF_0_1_0 = "http://127.0.0.1:10042"

-- Above authd's own deadline of 8 s, so that its answer still arrives.
local TIMEOUT_SECONDS = 10
-- At most a second apart: a restarted authd is back within these.
local ATTEMPTS = 3

-- POSTs a form to a path of authd; returns status and body.
local post
local is_2_4

-- Dovecot's own client, which can reach a unix socket as if a proxy listened there.
local function client_of_2_4(socket)
  return dovecot.http.client({
    request_timeout = TIMEOUT_SECONDS .. "s",
    request_max_attempts = tostring(ATTEMPTS),
    proxy_socket_path = socket,
  })
end

local function submit(client, url, form)
  local request = client:request({ url = url, method = "POST" })
  request:add_header("Content-Type", "application/x-www-form-urlencoded")
  request:set_payload(form)
  local response = request:submit()
  return response:status(), response:payload() or ""
end

local function poster_of_2_4()
  local client = client_of_2_4(AUTHD)
  return function(path, form)
    local status, body = submit(client, "http://authd" .. path, form)
    if status == 400 and string.find(body, REFUSAL_OF_0_1_0, 1, true) then
      status, body = submit(client_of_2_4(nil), PORT_OF_0_1_0 .. path, form)
    end
    return status, body
  end
end

local function ask_once(unix, text)
  local channel = unix.stream()
  channel:settimeout(TIMEOUT_SECONDS)
  local done, reason = channel:connect(AUTHD)
  if not done then
    channel:close()
    return nil, reason
  end
  local answer
  done, reason = channel:send(text)
  if done then
    answer, reason = channel:receive("*a")
  end
  channel:close()
  return answer, reason
end

local function poster_of_2_3()
  local unix = require("socket.unix")
  local sleep = require("socket").sleep
  return function(path, form)
    local text = "POST " .. path .. " HTTP/1.0\r\nContent-Length: " .. #form .. "\r\n\r\n" .. form
    local answer, reason
    for attempt = 1, ATTEMPTS do
      answer, reason = ask_once(unix, text)
      -- No retry after a timeout: authd may have counted the login as a guess already.
      if answer and answer ~= "" or reason == "timeout" or attempt == ATTEMPTS then
        break
      end
      sleep(attempt / ATTEMPTS)
    end
    local status, body = string.match(answer or "", "^HTTP/1%.%d (%d%d%d).-\r\n\r\n(.*\n)\n$")
    return tonumber(status) or error(reason or "incomplete answer"), body
  end
end

function script_init(settings)
  AUTHD = settings and settings.authd or rawget(_G, "GATEPOST_AUTHD") or AUTHD
  if string.sub(AUTHD, 1, 1) ~= "/" then
    error("gatepost: authd must be the path of its unix socket, not " .. AUTHD)
  end
  -- 2.4 rejects this setting of 2.3.
  is_2_4 = not pcall(dovecot.http.client, { request_timeout_msecs = TIMEOUT_SECONDS * 1000 })
  post = is_2_4 and poster_of_2_4() or poster_of_2_3()
  return 0
end

function script_deinit()
end

-- Escapes every byte but letters and digits, so that no value can end itself or begin another.
local function escape(text)
  return (string.gsub(text, "[^A-Za-z0-9]", function(c)
    return string.format("%%%02X", string.byte(c))
  end))
end

local function ask(path, values)
  local form = {}
  for name, value in pairs(values) do
    form[#form + 1] = name .. "=" .. escape(tostring(value or ""))
  end
  local status, body = post(path, table.concat(form, "&"))
  local fields = {}
  for name, value in string.gmatch(body, "([^=\n]+)=([^\n]*)") do
    fields[name] = value
  end
  return status, fields
end

-- The quota is bytes, 0 for unlimited; each version has its own name for it.
local function reply_fields(fields, prefix)
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

-- smtp, imap, …: 2.4 has protocol in place of service.
local function service_of(request)
  return request.protocol or request.service
end

-- A master user whose own password another passdb has checked ("result_success = continue"):
-- the account only has to exist, and the password is not its own.
local function look_up(request)
  return ask("/user", { user = request.user, service = service_of(request) })
end

function auth_password_verify(request, password)
  local done, status, fields
  if request.skip_password_check then
    done, status, fields = pcall(look_up, request)
  else
    done, status, fields = pcall(ask, "/verify", {
      user = request.user,
      password = password,
      service = service_of(request),
      remote = request.remote_ip or request.rip,
    })
  end
  -- With a failure, 2.4 accepts nothing but a text.
  if not done then
    return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "gatepost: authd is unavailable"
  elseif status == 200 then
    return dovecot.auth.PASSDB_RESULT_OK, reply_fields(fields, "userdb_")
  elseif status == 401 then
    return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, "refused"
  elseif status == 404 then
    return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, "unknown account"
  end
  return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "gatepost: authd answered " .. tostring(status)
end

function auth_userdb_lookup(request)
  local done, status, fields = pcall(ask, "/user", {
    user = request.user,
    service = service_of(request),
  })
  if not done then
    return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, "gatepost: authd is unavailable"
  elseif status == 200 then
    return dovecot.auth.USERDB_RESULT_OK, reply_fields(fields, "")
  elseif status == 404 then
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, "unknown account"
  end
  return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, "gatepost: authd answered " .. tostring(status)
end
