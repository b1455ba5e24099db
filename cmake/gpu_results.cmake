# cmake [-DCHECK=ON] -P cmake/gpu_results.cmake: writes docs/gpu-results.md; with CHECK, fails if the page is out of
# date. Run it with scripts/gpu-results. Kernels are found in the sources, so none can be forgotten. Results are
# bench/results/gpu-*.json, one per machine, as scripts/gpu-check writes them.
cmake_policy(VERSION 3.25)
get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
set(page ${root}/docs/gpu-results.md)
file(GLOB sources RELATIVE ${root}/src/cuda ${root}/src/cuda/*.cu ${root}/src/cuda/*.h)
list(SORT sources)
foreach(source IN LISTS sources)
  file(READ ${root}/src/cuda/${source} text_of_${source})
endforeach()

# The names of the kernels that a source defines, in order.
function(kernels_of source out)
  set(space "[ \t\n]")
  string(REGEX MATCHALL
    "__global__${space}+((static|inline)${space}+)*void${space}+(__launch_bounds__${space}*\\([^)]*\\)${space}*)?[A-Za-z0-9_]+${space}*\\("
    found "${text_of_${source}}")
  set(names)
  foreach(head IN LISTS found)
    string(REGEX MATCH "([A-Za-z0-9_]+)${space}*\\($" ignored "${head}")
    list(APPEND names ${CMAKE_MATCH_1})
  endforeach()
  list(REMOVE_DUPLICATES names)
  set(${out} ${names} PARENT_SCOPE)
endfunction()

# The .cu files that include a header, directly or through another header.
function(users_of header out)
  set(users)
  foreach(source IN LISTS sources)
    string(FIND "${text_of_${source}}" "#include \"cuda/${header}\"" at)
    if(at EQUAL -1)
      continue()
    elseif(source MATCHES "\\.cu$")
      list(APPEND users ${source})
    else()
      users_of(${source} more)
      list(APPEND users ${more})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES users)
  list(SORT users)
  set(${out} ${users} PARENT_SCOPE)
endfunction()

# The value under the keys; 0 if there is none.
function(value_of out json)
  string(JSON value ERROR_VARIABLE error GET "${json}" ${ARGN})
  if(error)
    set(value 0)
  endif()
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

# Which parts of a kernel ran on which machine, and its time in a training step.
function(cells_of kernel out_ran out_step)
  set(ran)
  set(step)
  foreach(machine IN LISTS machines)
    set(json "${json_of_${machine}}")
    foreach(name tests step_launches step_us)
      value_of(${name} "${json}" kernels ${kernel} ${name})
    endforeach()
    value_of(device "${json}" device)
    value_of(failed "${json}" tests failed)
    if(tests)
      set(verdict "passed")
      if(failed)
        set(verdict "${failed} tests failed")
      endif()
      list(APPEND ran "${device}: ${tests} launches, ${verdict}")
    endif()
    if(step_launches)
      math(EXPR whole "${step_us} / 1000")
      math(EXPR part "${step_us} % 1000 + 1000")
      string(SUBSTRING ${part} 1 3 part)
      list(APPEND step "${device}: ${step_launches} launches, ${whole}.${part} ms")
    endif()
  endforeach()
  foreach(cell ran step)
    list(JOIN ${cell} "<br>" text)
    if(NOT text)
      set(text "none")
    endif()
    set(${out_${cell}} "${text}" PARENT_SCOPE)
  endforeach()
endfunction()

file(GLOB machines RELATIVE ${root}/bench/results ${root}/bench/results/gpu-*.json)
set(rows "")
set(total 0)
set(several "")
set(runs "")
foreach(machine IN LISTS machines)
  file(READ ${root}/bench/results/${machine} json_of_${machine})
  foreach(name device driver nvcc commit date)
    value_of(${name} "${json_of_${machine}}" ${name})
  endforeach()
  value_of(passed "${json_of_${machine}}" tests passed)
  value_of(failed "${json_of_${machine}}" tests failed)
  string(APPEND runs "- **${device}**, driver ${driver}, nvcc ${nvcc}, commit ${commit}, ${date}: "
                     "${passed} tests passed, ${failed} failed.\n")
  value_of(gpus "${json_of_${machine}}" gpus)
  if(gpus)
    string(APPEND several "- **${device}**: collectives and training by ${gpus} GPUs were run.\n")
  endif()
endforeach()
foreach(source IN LISTS sources)
  if(source STREQUAL "take_device.h")  # its kernel only asks for an image
    continue()
  endif()
  kernels_of(${source} kernels)
  set(where "`${source}`")
  if(kernels AND source MATCHES "\\.h$")
    users_of(${source} users)
    list(JOIN users ", " users)
    string(APPEND where " (for ${users})")
  endif()
  foreach(kernel IN LISTS kernels)
    cells_of(${kernel} ran step)
    string(APPEND rows "| ${where} | `${kernel}` | ${ran} | ${step} |\n")
    math(EXPR total "${total} + 1")
  endforeach()
endforeach()
if(NOT several)
  set(several "**No machine with two GPUs has run `--gpus` or NCCL.** They compile, and the same tests run where threads stand in for GPUs ([many-machines.md](many-machines.md)). The step `processes` of `scripts/gpu-check` runs them.\n")
endif()
if(NOT machines)
  string(CONCAT runs
    "**No GPU has run any of these ${total} kernels.** They are compiled by nvcc for sm_90, and as PTX, in each run of "
    "`scripts/test` where nvcc is installed, with its warnings as errors and a gate on spills (`scripts/kernel-report`), "
    "and the same text runs in every test on the executor (`--device simt`, [kernels/simt.md](kernels/simt.md)), which "
    "checks results and races, but says nothing about speed.\n")
endif()
string(CONCAT text "# What a GPU has run\n\n${runs}\n${several}" [[

## How to fill this in

On a machine with an NVIDIA GPU of compute capability 8.0 or later:

```sh
scripts/gpu-check                 # builds, tests, measures; writes gpu-report.md and bench/results/gpu-<device>.json
scripts/gpu-results               # writes this page from those results
```

`scripts/gpu-check --help` lists what it takes: a folder of dependencies for a machine without a network, PyTorch to compare with, data for a real training run. It needs Python 3, without packages.

## Kernel by kernel

Tests: launches in the test suite on device cuda, and whether it passed. Step: all launches of one training step of the `paper` preset, batch 16, float32.

| file | kernel | tests | step |
|---|---|---|---|
]] "${rows}")

if(NOT CHECK)
  file(WRITE ${page} "${text}")
  return()
endif()
set(kept "")
if(EXISTS ${page})
  file(READ ${page} kept)
endif()
if(NOT kept STREQUAL text)
  message(FATAL_ERROR "docs/gpu-results.md is not up to date; run scripts/gpu-results")
endif()
