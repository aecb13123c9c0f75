-- Look-ups in a system's meaning (run.system). What is not there is an error that names the file, the line and the block.
local M = {}

local function titled(kind, name) return name and ("%s %s"):format(kind, name) or kind end

local function fail(block, what)
  error(("%s:%d: %s has no %s"):format(block.file or "?", block.line or 0, titled(block.kind, block.name), what), 0)
end

-- The first block of a kind (and name, when given) among the children of `parent`. It knows its file, as parents do.
function M.block(parent, kind, name)
  for _, item in ipairs(parent.body) do
    if item.kind == kind and (name == nil or item.name == name) then
      item.file = item.origin or parent.file
      return item
    end
  end
  fail(parent, ("block `%s { ... }`"):format(titled(kind, name)))
end

-- The first value of `key` among the children of `block`.
function M.value(block, key)
  for _, item in ipairs(block.body) do
    if item.key == key then return item.value end
  end
  fail(block, ("entry `%s: ...`"):format(key))
end

return M
