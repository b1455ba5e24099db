# cmake -DBUILD=... -DSOURCE=... -DWORK=... [-DSANITIZE=...] -P run.cmake: installs the build into a separate
# folder, then configures, builds and runs the consumer and examples/custom_op against that folder only.
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
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build ${options})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer)
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
