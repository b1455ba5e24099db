# cmake -DBUILD=... -DSOURCE=... -DWORK=... [-DSANITIZE=...] [-DSHARED=ON] [-DCUDA=ON] -P run.cmake: installs the build
# into a separate folder, then configures, builds and runs the consumer and examples/custom_op against that folder only,
# and the consumer of single components (components/), where packages that it does not need cannot be found.
# Manual pages and completion scripts must be where man and the shells look for them.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed (${code}): ${command}")
  endif()
endfunction()

# Users of an instrumented library must be instrumented, too.
set(options -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${WORK}/prefix)
if(SANITIZE)
  list(APPEND options "-DCMAKE_CXX_FLAGS=-fsanitize=${SANITIZE}")
endif()
file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)

# refused(MESSAGE ARGUMENTS...): the consumer of components is not configured with ARGUMENTS, and CMake says MESSAGE.
function(refused message)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/components -B ${WORK}/refused ${options} ${ARGN}
                  RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")  # CMake wraps its messages
  string(FIND "${output}" "${message}" found)
  if(code EQUAL 0 OR found EQUAL -1)
    message(FATAL_ERROR "expected '${message}', but CMake ended with ${code}:\n${output}")
  endif()
  file(REMOVE_RECURSE ${WORK}/refused)
endfunction()

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build ${options})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer)
set(unneeded)
foreach(package CUDAToolkit Eigen3 Threads ZLIB libzip nlohmann_json)
  list(APPEND unneeded -DCMAKE_DISABLE_FIND_PACKAGE_${package}=ON)
endforeach()
foreach(variable LIBZIP_LIBRARY LIBMD_LIBRARY)  # as they are if nothing is found, and no search
  list(APPEND unneeded -D${variable}=OFF)
endforeach()
if(CUDA)
  list(REMOVE_ITEM unneeded -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON -DCMAKE_DISABLE_FIND_PACKAGE_Threads=ON)
endif()
run(${CMAKE_COMMAND} --no-warn-unused-cli -S ${SOURCE}/components -B ${WORK}/components ${options} ${unneeded} -DCOMPONENTS=autograd)
run(${CMAKE_COMMAND} --build ${WORK}/components)
run(${WORK}/components/components)
refused("fer has no component 'faces'. Its components are: core, autograd, formats, graph, models, data, training, inference, study, c, report."
        -DCOMPONENTS=faces)
if(NOT SHARED)  # libfer.so brings its own
  refused("The component 'formats' of fer needs libraries that were not found: libzip::zip (Debian: libzip-dev), ZLIB::ZLIB (Debian: zlib1g-dev), libmd::md (Debian: libmd-dev)."
          ${unneeded} -DCOMPONENTS=formats)
endif()
run(${CMAKE_COMMAND} -S ${CUSTOM_OP} -B ${WORK}/custom_op ${options})
run(${CMAKE_COMMAND} --build ${WORK}/custom_op)
run(${WORK}/custom_op/custom_op)
run(${WORK}/prefix/bin/fer --version)
foreach(file man/man1/fer.1 man/man1/fer-train.1 man/man1/fer-figure-cam.1 bash-completion/completions/fer
             zsh/site-functions/_fer fish/vendor_completions.d/fer.fish)
  file(SIZE ${WORK}/prefix/share/${file} bytes)
  if(bytes LESS 500)
    message(FATAL_ERROR "${file} is not what it should be: ${bytes} bytes")
  endif()
endforeach()
