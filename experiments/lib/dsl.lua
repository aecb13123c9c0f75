-- Look-ups in a system's meaning, as `spak dsl json` prints it.
local M = {}

-- The first block of a kind (and name, when given) among the children of `parent`, or nil.
function M.block(parent, kind, name)
  for _, item in ipairs(parent.body) do
    if item.kind == kind and (name == nil or item.name == name) then return item end
  end
end

-- The first value of `key` among the children of `block`; an error names the block when there is none.
function M.value(block, key)
  for _, item in ipairs(block.body) do
    if item.key == key then return item.value end
  end
  error(("%s %s, line %s: no `%s`"):format(block.kind, tostring(block.name), tostring(block.line), key))
end

-- The entries of a block as a table, words as texts; later ones of the same key win.
function M.fields(block)
  local fields = {}
  for _, item in ipairs(block.body) do
    local word = type(item.value) == "table" and item.value.word
    if item.key then fields[item.key] = word or item.value end
  end
  return fields
end

-- All blocks of a kind among the children of `parent`, in their order.
function M.blocks(parent, kind)
  local list = {}
  for _, item in ipairs(parent.body) do
    if item.kind == kind then list[#list + 1] = item end
  end
  return list
end

return M
