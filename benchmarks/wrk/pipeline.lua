function init(arguments)
  local requests = {}
  for index = 1, 16 do
    requests[index] = wrk.format("GET", "/")
  end
  pipelined = table.concat(requests)
end

function request()
  return pipelined
end
