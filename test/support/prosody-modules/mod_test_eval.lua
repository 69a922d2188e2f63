-- A Prosody module for tests: POST /test_eval runs the body of the request as Lua code inside Prosody, and responds with
-- the result of the code. Use this module only in a private Prosody on loopback, and never install it.
module:set_global();
module:depends("http");

local env = setmetatable({ module = module, prosody = prosody }, { __index = _G });

local function run(event)
	local chunk, err = load(event.request.body, "=test_eval", "t", env);
	if not chunk then return { status_code = 400; body = err; }; end
	local ok, result = pcall(chunk);
	return { status_code = ok and 200 or 500; body = tostring(result); };
end

module:provides("http", { route = { POST = run; }; });
