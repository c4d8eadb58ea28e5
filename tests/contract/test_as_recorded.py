"""What recordings show of the service that documentation tells otherwise, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

QUERY = "api-version=2025-06-01"
OLDER = "api-version=2024-07-01.20.0"
IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
HPC = {
    "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
}

NFS = {"source": "server:/export", "relativeMountPath": "data"}
CIFS = {"source": "//server/share", "relativeMountPath": "data", "username": "u", "password": "secret-1"}
SHARE = {
    "azureFileUrl": "https://a.file.core.windows.net/share",
    "accountName": "a",
    "accountKey": "a2V5",
    "relativeMountPath": "data",
}
BLOBS = {"accountName": "a", "containerName": "c", "relativeMountPath": "data"}


STATUS = "/jobs/job/jobpreparationandreleasetaskstatus"
INFOS = ("jobPreparationTaskExecutionInfo", "jobReleaseTaskExecutionInfo")
OF_INFOS = (
    "state eq 'running'",
    "startTime gt DateTime'2026-01-01T00:00:00Z'",
    "endTime gt DateTime'2026-01-01T00:00:00Z'",
    "exitCode eq 0",
    "result eq 'success'",
)


class Wire:
    """Requests of the newest version, by their JSON."""

    def __init__(self, send: Any) -> None:
        self._send = send

    def get(self, path: str, query: str = QUERY) -> Any:
        return self._send("GET", f"{path}?{query}").body

    def put(self, method: str, path: str, body: Any = None) -> Any:
        """Send a change and return the answer."""
        content = b"" if body is None else json.dumps(body).encode()
        return self._send(method, f"{path}?{QUERY}", content)

    def make_pool(self, pool_id: str = "linux", **more: Any) -> Any:
        """Create a pool and return it as it is then."""
        pool = {"id": pool_id, "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE, **more}
        answer = self.put("POST", "/pools", pool)
        assert answer.status == 201, answer.content
        return self.get(f"/pools/{pool_id}")


@pytest.fixture
def wire(send: Any) -> Wire:
    """Give the account by its JSON."""
    return Wire(send)


@pytest.fixture
def steady(wire: Wire, eventually: Any) -> Wire:
    """Give an account with a pool of one node, which is idle."""
    wire.make_pool(targetDedicatedNodes=1)
    nodes = "/pools/linux/nodes"
    eventually(lambda: wire.get(nodes)["value"], lambda v: [node["state"] for node in v] == ["idle"])
    eventually(lambda: wire.get("/pools/linux")["allocationState"], lambda state: state == "steady")
    return wire


def refusal(answer: Any) -> tuple[int, str, dict[str, str]]:
    """Return status, code and values of a refusal."""
    values = {item["key"]: item["value"] for item in answer.body.get("values", ())}
    return answer.status, answer.body["code"], values


class TestFilledIn:
    def test_scheduling_of_a_pool(self, wire: Wire) -> None:
        assert wire.make_pool()["taskSchedulingPolicy"] == {
            "nodeFillType": "Spread",
            "jobDefaultOrder": "none",
        }
        assert wire.get("/pools/linux", OLDER)["taskSchedulingPolicy"] == {"nodeFillType": "Spread"}

    def test_disks(self, wire: Wire) -> None:
        disks = {"osDisk": {}, "dataDisks": [{"lun": 1, "diskSizeGB": 50}]}
        shown = wire.make_pool(virtualMachineConfiguration={**MACHINE, **disks})[
            "virtualMachineConfiguration"
        ]
        older = wire.get("/pools/linux", OLDER)["virtualMachineConfiguration"]

        assert shown["osDisk"] == {
            "ephemeralOSDiskSettings": {},
            "caching": "None",
            "managedDisk": {"storageAccountType": "standard_lrs"},
        }
        disk = {"lun": 1, "diskSizeGB": 50, "caching": "none"}
        assert shown["dataDisks"] == [{**disk, "managedDisk": {"storageAccountType": "standard_lrs"}}]
        assert older["dataDisks"] == [{**disk, "storageAccountType": "standard_lrs"}]

    def test_network(self, wire: Wire) -> None:
        rule = {"priority": 150, "access": "allow", "sourceAddressPrefix": "*"}
        nat = {
            "name": "udp",
            "protocol": "udp",
            "backendPort": 64444,
            "frontendPortRangeStart": 60000,
            "frontendPortRangeEnd": 61000,
            "networkSecurityGroupRules": [rule],
        }
        network = {
            "endpointConfiguration": {"inboundNATPools": [nat]},
            "publicIPAddressConfiguration": {"ipFamilies": ["IPv6", "IPv4"]},
        }
        shown = wire.make_pool(networkConfiguration=network)["networkConfiguration"]

        assert shown["dynamicVNetAssignmentScope"] == "none"
        assert shown["enableAcceleratedNetworking"] is False
        assert shown["publicIPAddressConfiguration"] == {
            "provision": "BatchManaged",
            "ipFamilies": ["IPv4", "IPv6"],
        }
        (pool,) = shown["endpointConfiguration"]["inboundNATPools"]
        assert pool["networkSecurityGroupRules"] == [{**rule, "sourcePortRanges": ["*"]}]
        assert "networkConfiguration" not in wire.make_pool("closed")

    def test_choices_in_the_case_of_the_service(self, wire: Wire) -> None:
        machine = {
            **MACHINE,
            "securityProfile": {"securityType": "TrustedLaunch"},
            "nodePlacementConfiguration": {"policy": "zonal"},
        }
        shown = wire.make_pool(
            virtualMachineConfiguration=machine, userAccounts=[{"name": "etl", "password": "secret-1"}]
        )

        assert shown["virtualMachineConfiguration"]["securityProfile"]["securityType"] == "trustedlaunch"
        assert shown["virtualMachineConfiguration"]["nodePlacementConfiguration"]["policy"] == "Zonal"
        assert shown["userAccounts"] == [{"name": "etl", "elevationLevel": "nonadmin"}]

    def test_the_working_directory_of_a_container(self, wire: Wire) -> None:
        container = {"commandLine": "/bin/true", "containerSettings": {"imageName": "centos"}}
        machine = {**HPC, "containerConfiguration": {"type": "dockerCompatible"}}
        pool = wire.make_pool(startTask=container, virtualMachineConfiguration=machine)
        job = {"id": "job", "poolInfo": {"poolId": "nowhere"}, "jobManagerTask": {"id": "m", **container}}
        wire.put("POST", "/jobs", job)
        wire.put("POST", "/jobs/job/tasks", {"id": "task", **container})

        for task in (
            pool["startTask"],
            wire.get("/jobs/job")["jobManagerTask"],
            wire.get("/jobs/job/tasks/task"),
        ):
            assert task["containerSettings"]["workingDirectory"] == "taskWorkingDirectory"

    def test_how_nodes_speak_is_shown_to_older_versions_once_there_are_some(self, steady: Wire) -> None:
        steady.make_pool("empty")

        assert steady.get("/pools/linux", OLDER)["currentNodeCommunicationMode"] == "classic"
        assert "currentNodeCommunicationMode" not in steady.get("/pools/empty", OLDER)
        assert "currentNodeCommunicationMode" not in steady.get("/pools/linux")


class TestVersions:
    def test_the_end_of_a_termination_is_no_change(self, steady: Wire, eventually: Any) -> None:
        steady.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
        steady.put("POST", "/jobs/job/terminate")
        ended = eventually(lambda: steady.get("/jobs/job"), lambda job: job["state"] == "completed")

        assert ended["previousState"] == "active"
        assert ended["previousStateTransitionTime"] == ended["creationTime"]
        assert ended["lastModified"] < ended["stateTransitionTime"]

    def test_a_job_is_active_as_soon_as_it_is_enabled(self, wire: Wire, eventually: Any) -> None:
        wire.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nowhere"}})
        wire.put("POST", "/jobs/job/disable", {"disableTasks": "wait"})
        disabled = eventually(lambda: wire.get("/jobs/job"), lambda job: job["state"] == "disabled")
        wire.put("POST", "/jobs/job/enable")
        enabled = wire.get("/jobs/job")

        assert disabled["previousState"] == "active"
        assert (enabled["state"], enabled["previousState"]) == ("active", "disabled")
        assert enabled["eTag"] != disabled["eTag"]

    def test_a_resize_that_is_stopped_and_a_formula_that_is_disabled_are_no_changes(
        self, steady: Wire
    ) -> None:
        formula = {"autoScaleFormula": "$TargetDedicatedNodes = 1;"}
        enabled = steady.put("POST", "/pools/linux/enableautoscale", formula).headers["etag"]

        assert steady.put("POST", "/pools/linux/disableautoscale").headers["etag"] == enabled
        assert steady.get("/pools/linux")["eTag"] == enabled

    def test_the_end_of_the_termination_of_a_schedule_is_no_change(self, wire: Wire, eventually: Any) -> None:
        job = {"poolInfo": {"poolId": "nowhere"}}
        wire.put("POST", "/jobschedules", {"id": "s", "schedule": {}, "jobSpecification": job})
        asked = wire.put("POST", "/jobschedules/s/terminate").headers["etag"]
        ended = eventually(lambda: wire.get("/jobschedules/s"), lambda found: found["state"] == "completed")

        assert (ended["eTag"], ended["previousState"]) == (asked, "active")


class TestWaitingForNodes:
    def test_a_job_says_so_while_it_terminates(self, steady: Wire, eventually: Any) -> None:
        tasks = {"jobPreparationTask": {"commandLine": "/bin/true"}}
        tasks["jobReleaseTask"] = {"commandLine": "/bin/sleep 1000"}
        steady.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}, **tasks})
        steady.put("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/true"})
        eventually(lambda: steady.get("/jobs/job/tasks/task")["state"], lambda state: state == "completed")
        steady.put("POST", "/jobs/job/terminate")
        job = steady.get("/jobs/job")
        path = "/jobs/job/jobpreparationandreleasetaskstatus"
        (place,) = eventually(
            lambda: steady.get(path)["value"], lambda found: "jobReleaseTaskExecutionInfo" in found[0]
        )

        assert job["state"] == "terminating"
        assert job["executionInfo"]["schedulingError"] == {
            "category": "ServerError",
            "code": "JobTerminationAwaitingNodeProcessing",
            "message": "The Job termination operation is waiting for processing from one or more node.",
            "details": [{"name": "Number of nodes awaiting processing", "value": "1"}],
        }
        assert "retryCount" not in place["jobReleaseTaskExecutionInfo"]
        assert "retryCount" in place["jobPreparationTaskExecutionInfo"]

    def test_a_job_says_so_while_it_is_deleted(self, steady: Wire, eventually: Any) -> None:
        job = {
            "id": "job",
            "poolInfo": {"poolId": "linux"},
            "jobPreparationTask": {"commandLine": "/bin/true"},
        }
        steady.put("POST", "/jobs", {**job, "jobReleaseTask": {"commandLine": "/bin/sleep 1000"}})
        steady.put("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/true"})
        eventually(lambda: steady.get("/jobs/job/tasks/task")["state"], lambda state: state == "completed")
        steady.put("DELETE", "/jobs/job")
        deleting = steady.get("/jobs/job")

        assert deleting["state"] == "deleting"
        assert deleting["executionInfo"]["schedulingError"] == {
            "category": "ServerError",
            "code": "JobDeletionAwaitingNodeProcessing",
            "message": "The Job deletion operation is waiting for processing from one or more node.",
            "details": [{"name": "Number of nodes awaiting processing", "value": "1"}],
        }

    def test_a_job_without_nodes_says_nothing(self, wire: Wire, eventually: Any) -> None:
        wire.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nowhere"}})
        wire.put("POST", "/jobs/job/terminate")
        ended = eventually(lambda: wire.get("/jobs/job"), lambda job: job["state"] == "completed")

        assert "schedulingError" not in ended["executionInfo"]


class TestRefusals:
    def test_a_resize_without_targets_before_the_pool_is_looked_for(self, wire: Wire) -> None:
        answer = wire.put("POST", "/pools/nowhere/resize", {})

        name = "targetDedicatedNodes and/or targetLowPriorityNodes"
        assert refusal(answer) == (400, "MissingRequiredProperty", {"PropertyName": name})

    def test_a_body_that_is_too_large_with_the_limit(self, wire: Wire) -> None:
        answer = wire.put("POST", "/jobs", {"id": "x" * 1_100_000})

        assert refusal(answer) == (413, "RequestBodyTooLarge", {"MaxLimit": "1048576"})

    def test_one_id_for_a_job_and_a_schedule(self, wire: Wire) -> None:
        job = {"poolInfo": {"poolId": "nowhere"}}
        schedule = {"schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": job}
        wire.put("POST", "/jobs", {"id": "first", **job})
        wire.put("POST", "/jobschedules", {"id": "second", **schedule})

        assert refusal(wire.put("POST", "/jobschedules", {"id": "First", **schedule}))[:2] == (
            409,
            "JobWithSameIdExists",
        )
        assert refusal(wire.put("POST", "/jobs", {"id": "Second", **job}))[:2] == (
            409,
            "JobScheduleWithSameIdExists",
        )

    @pytest.mark.parametrize("authorization", ["SharedKey", "SharedKey batchlinux", "Basic a:b", "a b c"])
    def test_an_authorization_of_a_wrong_form(self, send: Any, authorization: str) -> None:
        answer = send("GET", f"/pools?{QUERY}", headers={"authorization": authorization})

        assert refusal(answer)[:2] == (400, "InvalidAuthenticationInfo")

    def test_the_key_of_an_account_that_does_not_exist(self, send: Any) -> None:
        headers = {"authorization": "SharedKey noexistaccount:abc"}
        answer = send("GET", f"/pools?{QUERY}", headers=headers)

        assert refusal(answer)[:2] == (403, "AuthenticationFailed")
        cause = "Cannot find the claimed account when trying to GetProperties for the account noexistaccount."
        assert answer.body["values"] == [{"key": "AuthenticationErrorDetail", "value": cause}]

    def test_a_task_with_a_package_of_an_application(self, wire: Wire) -> None:
        wire.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nowhere"}})
        task = {"id": "task", "commandLine": "true", "applicationPackageReferences": [{"applicationId": "a"}]}

        assert refusal(wire.put("POST", "/jobs/job/tasks", task))[:2] == (
            409,
            "InvalidApplicationPackageReferences",
        )

    def test_containers_on_an_image_without_an_engine(self, wire: Wire) -> None:
        machine = {**MACHINE, "containerConfiguration": {"type": "dockerCompatible"}}
        pool = {"id": "linux", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}
        status, code, values = refusal(wire.put("POST", "/pools", pool))

        assert (status, code) == (400, "InvalidPropertyValue")
        assert (values["PropertyName"], values["PropertyValue"]) == ("type", "dockerCompatible")

    @pytest.mark.parametrize(
        ("setting", "name"),
        [
            pytest.param({"name": ""}, "name", id="no name"),
            pytest.param({"name": "A=B"}, "name", id="equals sign"),
            pytest.param({"name": "A\0"}, "name", id="NUL in the name"),
            pytest.param({"name": "A", "value": "\0"}, "value", id="NUL in the value"),
            pytest.param({"name": "A", "value": "x" * 131_070}, "value", id="too long"),
        ],
    )
    def test_variables_that_no_process_can_have(self, wire: Wire, setting: dict[str, str], name: str) -> None:
        task = {"commandLine": "/bin/true", "environmentSettings": [setting]}
        pool = {"id": "linux", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE}
        wire.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "nowhere"}})
        answers = [
            wire.put("POST", "/pools", {**pool, "startTask": task}),
            wire.put("POST", "/jobs/job/tasks", {"id": "task", **task}),
            wire.put("POST", "/jobs", {"id": "x", "poolInfo": {}, "commonEnvironmentSettings": [setting]}),
        ]

        for answer in answers:
            status, code, values = refusal(answer)
            assert (status, code, values["PropertyName"]) == (400, "InvalidPropertyValue", name)

    def test_a_size_that_cannot_boot_the_image_as_a_resize_error(self, wire: Wire, eventually: Any) -> None:
        wire.make_pool(vmSize="standard_a2_v2", targetDedicatedNodes=1)
        pool = eventually(
            lambda: wire.get("/pools/linux"), lambda found: found["allocationState"] == "steady"
        )

        assert pool["currentDedicatedNodes"] == 0
        (error,) = pool["resizeErrors"]
        assert error["code"] == "AllocationFailed"
        assert [item["name"] for item in error["values"]] == [
            "Provider Error Json",
            "Provider Error Json Truncated",
        ]
        told = json.loads(error["values"][0]["value"])["error"]
        assert told["code"] == "BadRequest"
        assert told["message"].startswith(
            "The selected VM size 'STANDARD_A2_V2' cannot boot Hypervisor Generation '2'. If this was"
        )

    @pytest.mark.parametrize(
        "mount",
        [
            pytest.param({}, id="none"),
            pytest.param({"nfsMountConfiguration": NFS, "cifsMountConfiguration": CIFS}, id="two"),
            pytest.param({"azureBlobFileSystemConfiguration": BLOBS}, id="no credential"),
            pytest.param(
                {"azureBlobFileSystemConfiguration": {**BLOBS, "accountKey": "a2V5", "sasKey": "sig"}},
                id="two credentials",
            ),
        ],
    )
    def test_mounts_that_contradict_themselves(self, wire: Wire, mount: dict[str, Any]) -> None:
        machine = {"vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE}
        pool = {"id": "linux", **machine, "mountConfiguration": [mount]}

        assert refusal(wire.put("POST", "/pools", pool))[:2] == (400, "InvalidPropertyValue")

    @pytest.mark.parametrize(
        "mount",
        [
            pytest.param({"nfsMountConfiguration": {**NFS, "source": "server"}}, id="no export"),
            pytest.param({"cifsMountConfiguration": {**CIFS, "source": "server/share"}}, id="no UNC"),
            pytest.param(
                {
                    "azureFileShareConfiguration": {
                        **SHARE,
                        "azureFileUrl": "https://a.file.core.windows.net/",
                    }
                },
                id="no share",
            ),
            pytest.param({"nfsMountConfiguration": {**NFS, "relativeMountPath": "../data"}}, id="outside"),
            pytest.param({"nfsMountConfiguration": {**NFS, "relativeMountPath": "/data"}}, id="absolute"),
        ],
    )
    def test_mounts_that_cannot_work_as_an_error_of_the_node(
        self, wire: Wire, eventually: Any, mount: dict[str, Any]
    ) -> None:
        wire.make_pool(mountConfiguration=[mount], targetDedicatedNodes=1)
        (node,) = eventually(
            lambda: wire.get("/pools/linux/nodes")["value"],
            lambda nodes: [node["state"] for node in nodes] in (["idle"], ["unusable"]),
        )

        assert node["state"] == "unusable"
        (error,) = node["errors"]
        assert error["code"] == "MountConfigurationError"
        path = next(iter(mount.values()))["relativeMountPath"]
        assert {"name": "MountConfigurationPath", "value": path} in error["errorDetails"]

    def test_a_command_line_that_linux_cannot_take(self, steady: Wire, eventually: Any) -> None:
        steady.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
        steady.put("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/echo " + "x" * 900_000})
        task = eventually(
            lambda: steady.get("/jobs/job/tasks/task"), lambda found: found["state"] == "completed"
        )

        details = task["executionInfo"]["failureInfo"]["details"]
        assert details == [{"name": "Message", "value": "[Errno 7] Argument list too long"}]


class TestTasks:
    def test_one_that_its_user_terminates_does_not_end_its_job(self, steady: Wire, eventually: Any) -> None:
        job = {"id": "job", "poolInfo": {"poolId": "linux"}, "onTaskFailure": "performexitoptionsjobaction"}
        steady.put("POST", "/jobs", job)
        steady.put("POST", "/jobs/job/tasks", {"id": "task", "commandLine": "/bin/sleep 1000"})
        eventually(lambda: steady.get("/jobs/job/tasks/task")["state"], lambda state: state == "running")
        steady.put("POST", "/jobs/job/tasks/task/terminate")

        assert steady.put("POST", "/jobs/job/tasks/task/reactivate").status == 204
        assert steady.get("/jobs/job")["state"] == "active"

    def test_the_url_of_a_file_as_it_was_sent(self, send: Any, run_task: Any) -> None:
        run_task("/bin/true")
        path = "/jobs/job/tasks/task/files/wd%2F..%2Fstdout.txt"
        url = send("HEAD", f"{path}?{QUERY}").headers["ocp-batch-file-url"]

        assert url.startswith("http")
        assert url.endswith("%2Ffiles%2Fwd%252F..%252Fstdout.txt")


class TestNodes:
    def test_more_than_ten_recent_tasks_and_the_version_of_the_agent(
        self, steady: Wire, eventually: Any
    ) -> None:
        steady.put("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
        tasks = [{"id": f"t{number}", "commandLine": "/bin/true"} for number in range(12)]
        steady.put("POST", "/jobs/job/addtaskcollection", {"value": tasks})
        (node,) = eventually(
            lambda: steady.get("/pools/linux/nodes")["value"], lambda found: found[0]["totalTasksRun"] == 12
        )

        assert len(node["recentTasks"]) == 12
        assert node["nodeAgentInfo"]["version"] == "1.12.39"

    def test_the_list_of_extensions_ends_with_that_of_batch(self, wire: Wire, eventually: Any) -> None:
        given = {"name": "zz", "publisher": "Microsoft.Azure.Monitor", "type": "AzureMonitorLinuxAgent"}
        machine = {**MACHINE, "extensions": [given]}
        wire.make_pool(targetDedicatedNodes=1, virtualMachineConfiguration=machine)
        nodes = "/pools/linux/nodes"
        (node,) = eventually(
            lambda: wire.get(nodes)["value"], lambda v: [each["state"] for each in v] == ["idle"]
        )
        first, last = wire.get(f"{nodes}/{node['id']}/extensions")["value"]

        assert first["vmExtension"] == {**given, "enableAutomaticUpgrade": False}
        assert first["instanceView"]["statuses"][0]["level"] == 0
        assert last["vmExtension"] == {
            "name": "batchNodeExtension",
            "publisher": "Microsoft.Azure.Extensions",
            "type": "CustomScript",
            "typeHandlerVersion": "2.0",
            "autoUpgradeMinorVersion": True,
            "enableAutomaticUpgrade": False,
        }
        assert wire.get(f"{nodes}/{node['id']}/extensions/BatchNodeExtension") | {"odata.metadata": ""} == {
            **last,
            "odata.metadata": "",
        }

    def test_one_that_is_open_for_remote_desktop_alone_tells_that_port(
        self, wire: Wire, eventually: Any
    ) -> None:
        nat = {"name": "rdp", "protocol": "tcp", "backendPort": 3389}
        nat |= {"frontendPortRangeStart": 15000, "frontendPortRangeEnd": 15100}
        network = {"endpointConfiguration": {"inboundNATPools": [nat]}}
        wire.make_pool(targetDedicatedNodes=1, networkConfiguration=network)
        nodes = "/pools/linux/nodes"
        (node,) = eventually(lambda: wire.get(nodes)["value"], lambda found: found)
        (endpoint,) = node["endpointConfiguration"]["inboundEndpoints"]
        login = wire.get(f"{nodes}/{node['id']}/remoteloginsettings")

        assert (endpoint["name"], endpoint["frontendPort"]) == ("rdp.0", 15000)
        assert login["remoteLoginPort"] == 15000

    def test_the_directories_of_a_node(self, steady: Wire) -> None:
        (node,) = steady.get("/pools/linux/nodes")["value"]
        files = steady.get(f"/pools/linux/nodes/{node['id']}/files", f"{QUERY}&recursive=true")["value"]

        assert {
            "applications",
            "fsmounts",
            "shared",
            "startup",
            "startup/certs",
            "startup/wd",
            "volatile",
            "volatile/startup",
            "workitems",
        } <= {file["name"] for file in files}


class TestAutoScale:
    def test_a_formula_with_an_unknown_name(self, wire: Wire) -> None:
        formula = {"autoScaleFormula": "$TargetDedicatedNodes = 2;"}
        wire.make_pool(enableAutoScale=True, **formula)
        wrong = {"autoScaleFormula": "$TargetDedicatedNodes = $something_useless;"}
        run = wire.put("POST", "/pools/linux/evaluateautoscale", wrong).body

        assert run["results"] == (
            "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"
        )
        assert run["error"]["code"] == "AutoScalingFormulaEvaluationError"
        assert run["error"]["message"] == "The specified auto-scaling formula has evaluation error"
        (value,) = run["error"]["values"]
        assert value["name"] == "Message"
        assert value["value"].endswith("Undefined symbol: $something_useless")

    def test_evaluating_and_enabling_work_while_the_first_evaluation_resizes(self, wire: Wire) -> None:
        formula = {"autoScaleFormula": "$TargetDedicatedNodes = 2;"}
        wire.make_pool(enableAutoScale=True, **formula)

        assert wire.put("POST", "/pools/linux/evaluateautoscale", formula).status == 200
        assert wire.put("POST", "/pools/linux/enableautoscale", formula).status == 200


class TestFilters:
    @pytest.mark.parametrize(
        ("path", "condition", "status"),
        [
            ("/pools", "allocationState eq 'steady'", 200),
            ("/pools", "allocationState ne 'steady'", 400),
            ("/pools", "enableInterNodeCommunication eq false", 200),
            ("/pools", "startswith(displayName,'x')", 400),
            ("/jobs", "displayName eq 'x'", 400),
            ("/jobs/job/tasks", "displayName eq 'x'", 400),
            *((STATUS, f"{info}/{condition}", 200) for info in INFOS for condition in OF_INFOS),
            (STATUS, "poolId eq 'p' and nodeId eq 'n'", 200),
            (STATUS, "jobPreparationTaskExecutionInfo/retryCount eq 1", 400),
            ("/jobs", "priority gt 1", 400),
            ("/jobschedules", "schedule/doNotRunAfter gt DateTime'2026-01-01T00:00:00Z'", 200),
            ("/jobschedules", "executionInfo/endTime gt DateTime'2026-01-01T00:00:00Z'", 200),
        ],
    )
    def test_lists_take_the_documented_ones(self, send: Any, path: str, condition: str, status: int) -> None:
        task = {"commandLine": "true"}
        Wire(send).put(
            "POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "p"}, "jobPreparationTask": task}
        )
        target = f"{path}?{QUERY}&$filter={condition.replace(' ', '%20')}"

        assert send("GET", target).status == status
